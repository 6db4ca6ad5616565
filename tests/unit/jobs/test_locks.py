import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import ROOT

from nearfar.errors import NearfarError
from nearfar.jobs.locks import locked

OTHER = """
import filelock, os, sys
filelock.lock_descriptor  # imported as long as it may be read
from nearfar.jobs.locks import locked
if os.getuid() == 0 and sys.argv[2] == "nobody":
    os.setgid(65534); os.setuid(65534)
os.umask(0o077)
print(locked(sys.argv[1]) is not None, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other():
    """A function that lets another process, and where possible another user, lock a path; it holds on to it."""
    started = []

    def lock(path, user="nobody"):
        command = [sys.executable, "-c", OTHER, str(path), user]
        pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        started.append(subprocess.Popen(command, env=environment, text=True, **pipes))
        assert started[-1].stdout.readline() in ("True\n", "False\n")
        return started[-1]

    yield lock
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def place():
    """A file in a folder of all users, like /tmp."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder, "a.lock")


@pytest.mark.parametrize("user", ["self", "nobody"])
def test_a_file_is_locked_once_and_free_after_a_kill(other, place, user):
    holder = other(place, user)
    assert stat.S_IMODE(place.stat().st_mode) == 0o644
    assert locked(place) is None
    holder.kill()
    holder.wait()
    descriptor = locked(place)
    assert descriptor is not None and locked(place) is None
    os.close(descriptor)
    again = locked(place)
    assert again is not None
    os.close(again)


def test_a_device_is_locked_and_no_file_made(tmp_path):
    outer, inner = os.openpty()
    name = os.ttyname(inner)
    descriptor = locked(name)
    assert descriptor is not None and locked(name) is None
    for opened in (descriptor, inner, outer):
        os.close(opened)


def test_a_fifo_is_locked_without_waiting_for_its_writer(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    descriptor = locked(tmp_path / "fifo")
    assert descriptor is not None
    os.close(descriptor)


@pytest.mark.parametrize(("path", "reason"), [("file/a.lock", "not a directory"), ("none/a.lock", "no such file")])
def test_what_cannot_be_locked_is_named(tmp_path, path, reason):
    (tmp_path / "file").touch()
    with pytest.raises(NearfarError, match=f"{path}: cannot be locked \\({reason}.*set TMPDIR"):
        locked(tmp_path / path)
