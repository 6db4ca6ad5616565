"""The lease of a GPU, by real processes on devices that exist in CUDA_VISIBLE_DEVICES alone."""

import os
import select
import subprocess
import sys

import pytest
from conftest import ROOT

from nearfar.errors import NearfarError
from nearfar.jobs.devices import leased, visible

WAITING = "nearfar: all GPUs are taken (0, 1, 2); waiting for one\n"
HOLDER = """
import os, sys
from nearfar.jobs.devices import leased
with leased("cuda"):
    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.read()
"""
# O_EXCL: a device that two processes hold at once ends in FileExistsError
CONTENDER = """
import os, time
from nearfar.jobs.devices import leased
for _ in range(6):
    with leased("cuda"):
        mark = "in-use-" + os.environ["CUDA_VISIBLE_DEVICES"]
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        time.sleep(0.01)
        os.unlink(mark)
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts Python on some code, three simulated devices and no nvidia-smi."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "0,1,2", "TMPDIR": str(tmp_path), "PATH": ""}
    environment["PYTHONPATH"] = str(ROOT / "src")
    pipes, started = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE), []

    def started_on(code):
        command = [sys.executable, "-c", code]
        started.append(subprocess.Popen(command, env=environment, cwd=tmp_path, text=True, **pipes))
        return started[-1]

    yield started_on
    for process in started:
        process.kill()
        process.wait()


def line(stream, seconds=60):
    assert select.select([stream], [], [], seconds)[0], "nothing came"
    return stream.readline().strip()


def test_the_fourth_job_waits_visibly_and_takes_what_is_given_back(start):
    holders = [start(HOLDER) for _ in range(3)]
    held = [line(holder.stdout) for holder in holders]
    assert sorted(held) == ["0", "1", "2"]
    waiting = start(HOLDER)
    assert line(waiting.stderr) == WAITING.strip()
    assert not select.select([waiting.stdout], [], [], 1)[0]
    holders[1].kill()  # SIGKILL
    assert line(waiting.stdout) == held[1]
    last = start(HOLDER)
    assert "waiting" in line(last.stderr)
    holders[0].stdin.close()  # ends by itself
    assert line(last.stdout) == held[0]


def test_no_device_is_shared(start):
    contenders = [start(CONTENDER) for _ in range(5)]
    assert [process.communicate(timeout=100)[1].replace(WAITING, "") for process in contenders] == [""] * 5


def test_devices_are_locked_by_uuid_where_nvidia_smi_knows_it(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0, GPU-a\\n1, GPU-b\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible() == ["GPU-a", "GPU-b"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, GPU-a")
    assert visible() == ["GPU-b", "GPU-a"]


def test_no_device_at_all(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(NearfarError, match="no GPU is visible"), leased("cuda"):
        pass


def test_the_environment_is_as_before(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    with leased("cuda"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5"
    with leased("cpu"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5"
