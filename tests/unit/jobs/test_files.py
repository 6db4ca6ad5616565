"""Files under their final name, whole or not at all, and what is said where the disk is full."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import ROOT

from nearfar.backbones.base import Backbone
from nearfar.errors import NearfarError
from nearfar.factory import build
from nearfar.jobs import files
from nearfar.jobs.job import logged

LARGE = np.random.default_rng(0).standard_normal(100_000)
FACTORY = {"seconds": 2, "train_source": 4, "train_target": 2, "test": 1, "noise_sources": 4, "seed": 0}
WRITERS = {
    "text": lambda path: files.write_text(path, "x" * 800_000),
    "table": lambda path: files.write_table(path, {"score": LARGE}),
    "vectors": lambda path: files.write_vectors(path, ["a", "b"], [LARGE, -LARGE]),
    "array": lambda path: mapped(path),
    "arrays": lambda path: files.write_arrays(path, {"weights_": LARGE}, method="knn"),
    "factory": lambda path: build.build(path.name, path.parent, **FACTORY),
    "backbone": lambda path: Backbone.save(SimpleNamespace(state_dict=state, config={}, family="", prefix=""), path),
}
HALF = """
import os, sys
from nearfar.jobs.files import replacing
with replacing(sys.argv[1]) as temporary:
    if sys.argv[2] == "folder":
        temporary.mkdir()
        temporary = temporary / "clip.wav"
    temporary.write_text("half")
    print(temporary, flush=True)
    sys.stdin.read()
"""
MANY = """
import sys
from nearfar.jobs.files import write_text
for number in range(300):
    write_text(sys.argv[1], sys.argv[2] * 20_000)
"""


def mapped(path):
    with files.new_array(path, np.float64, LARGE.shape) as array:
        array[:] = LARGE


def state():
    return {"weight": torch.zeros(100_000)}


@pytest.mark.parametrize("shape", [(5, 4), (5, 3, 4), (5, 1, 4)])
def test_vectors_come_back_in_their_shape_with_folds_or_without(tmp_path, shape):
    rows, names = np.random.default_rng(0).standard_normal(shape).astype(np.float32), list("abcde")
    files.write_vectors(tmp_path / "v.parquet", names, rows)
    known, again = files.read_vectors(tmp_path / "v.parquet")
    assert list(known) == names and again.dtype == np.float32
    np.testing.assert_array_equal(again, rows)


@pytest.fixture
def small(tmp_path):
    """A folder in which no file may have more than 64 kB, which fails as a full disk does, and needs no mount."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    (tmp_path / "disk").mkdir()
    yield tmp_path / "disk"
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def remaining(folder):
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_named_and_nothing_left(small, writer):
    with pytest.raises(NearfarError) as raised:
        WRITERS[writer](small / "fan")
    assert str(raised.value).startswith(f"{small}/fan")
    assert "cannot be written (file too large); make room or choose another folder" in str(raised.value)
    assert remaining(small) in ([], ["fan"] * (writer == "backbone"))


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_where_a_folder_must_be_is_named(tmp_path, writer):
    (tmp_path / "results").write_text("no folder")
    with pytest.raises(NearfarError, match="results/fan.* cannot be written .*choose another folder"):
        WRITERS[writer](tmp_path / "results/fan")
    assert remaining(tmp_path) == ["results"]


@pytest.fixture
def start():
    """A function that starts Python on some code and arguments."""
    started, pipes = [], dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)

    def started_on(code, *arguments):
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, "-c", code, *map(str, arguments)]
        started.append(subprocess.Popen(command, env=environment, text=True, **pipes))
        return started[-1]

    yield started_on
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_job_left_goes_with_its_next_run(start, tmp_path, kind, end):
    place = tmp_path / "fan.parquet"
    killed, other = start(HALF, place, kind), start(HALF, tmp_path / "fan", kind)
    for process in (killed, other):
        assert process.stdout.readline()
        process.send_signal(end)
        process.wait()
    assert sum(name.endswith(".part") for name in remaining(tmp_path)) == 2
    files.write_text(place, "whole")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == 2 and left[0].startswith(".fan.") and left[1] == "fan.parquet"  # another name's stays
    assert place.read_text() == "whole"


def test_a_temporary_of_a_running_job_and_of_another_machine_stays(start, tmp_path, monkeypatch):
    place = tmp_path / "fan.parquet"
    running = start(HALF, place, "file")
    assert running.stdout.readline()
    monkeypatch.setattr(files, "MACHINE", "00c0ffee")
    with files.replacing(place) as elsewhere:
        elsewhere.touch()
        monkeypatch.undo()
        killed = start(HALF, place, "file")
        assert killed.stdout.readline()
        killed.kill()
        killed.wait()
        files.write_text(place, "mine")
        assert len(remaining(tmp_path)) == 3 and elsewhere.exists()
    running.stdin.close()
    assert running.wait() == 0 and place.read_text() == "half" and remaining(tmp_path) == ["fan.parquet"]


@pytest.mark.parametrize("name", ["{}.0.part", "{}.x.part", "{}.99999999999999999999999.part", "part", "zip.part"])
def test_odd_names_beside_it_do_no_harm(tmp_path, name):
    (tmp_path / f".fan.{name.format(files.MACHINE)}").touch()
    files.write_text(tmp_path / "fan", "whole")
    assert (tmp_path / "fan").read_text() == "whole"
    assert len(remaining(tmp_path)) == 2 - ("9999" in name)


def test_of_writers_at_once_each_writes_the_whole_file(start, tmp_path):
    place = tmp_path / "fan.txt"
    writers = [start(MANY, place, letter) for letter in "abc"]
    while any(process.poll() is None for process in writers):
        text = place.read_text() if place.exists() else "a" * 20_000
        assert text in [letter * 20_000 for letter in "abc"]
        time.sleep(0.005)
    assert [process.returncode for process in writers] == [0] * 3 and remaining(tmp_path) == ["fan.txt"]


def job(log):
    return SimpleNamespace(rule="eat", wildcards=["fan"], log=[str(log)])


@pytest.mark.parametrize(
    ("log", "reason"),
    [("/dev/full", "no space left on device"), ("folder", "is a directory"), ("file/fan.log", "not a directory")],
)
def test_a_log_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capfd, log, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended, logged(job(log)):
        pass
    assert ended.value.code == 1
    line = f"nearfar: {log}: cannot be written ({reason}); make room or choose another folder\n"
    assert capfd.readouterr() == ("", line)


def test_a_log_whose_folder_is_gone_is_one_line(tmp_path, capfd):
    with pytest.raises(SystemExit), logged(job(tmp_path / "gone/fan.log")):
        pass
    error = capfd.readouterr().err
    assert error.startswith("nearfar: rule eat: FileNotFoundError: ") and error.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NearfarError("a.wav: silent"), "nearfar: a.wav: silent\n"),
        (KeyError("x"), "nearfar: rule eat: KeyError: 'x'; /dev/full: cannot be written (no space left on device); "),
        (OSError(errno.EIO, "broken"), "nearfar: rule eat: OSError: [Errno 5] broken; /dev/full: cannot be written "),
    ],
)
def test_a_failure_is_told_though_the_log_is_full(capfd, error, said):
    with pytest.raises(SystemExit), logged(job("/dev/full")):
        raise error
    told = capfd.readouterr().err
    assert told.startswith(said) and told.count("\n") == 1


def test_a_bar_whose_log_is_full_ends_the_job_in_one_line(capfd, monkeypatch):
    from nearfar.jobs import progress

    monkeypatch.setattr(progress, "EVERY", 0)
    with pytest.raises(SystemExit), logged(job("/dev/full")):
        list(progress.bar(range(3), "maps"))
    told = capfd.readouterr().err
    assert told.startswith("nearfar: /dev/full: cannot be written (no space left") and told.count("\n") == 1
