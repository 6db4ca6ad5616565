"""The lease of a GPU, by real processes on devices that exist in CUDA_VISIBLE_DEVICES alone."""

import os
import select
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

from nearfar.errors import NearfarError
from nearfar.jobs.devices import leased, use_device, visible

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

    def started_on(code, **variables):
        command = [sys.executable, "-c", code]
        started.append(subprocess.Popen(command, env=environment | variables, cwd=tmp_path, text=True, **pipes))
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


A, B, C = "GPU-8f31aa02-0000-4c11-9b1e-000000000001", "GPU-8f9", "GPU-c0de"
THREE = f"0, {A}\n1, {B}\n2, {C}"


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A function that puts a program of that name on the PATH, which prints a text and ends with a status."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def printing(text, status=0):
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)

    return printing


@pytest.mark.parametrize(
    ("listed", "status", "expected"),
    [
        (THREE, 0, [A, B, C]),
        (f"\n  0,{A}\t\n\n", 0, [A]),
        ("No devices were found", 6, []),
        ("No devices were found", 0, []),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver, 0", 9, []),
        ("", 0, []),
        (f"0, {A}\n  MIG 1g.10gb Device 0: (UUID: MIG-f00)\n1, {B}", 0, [A, B]),
        (f"Unable to determine the device handle for GPU 1: Unknown Error\n0, {A}\n2, {C}", 15, [A, C]),
        (f"0, {A}\n1, [Unknown Error]\n1, [N/A]", 0, [A]),
    ],
)
def test_only_lines_of_index_and_uuid_are_devices(nvidia_smi, monkeypatch, listed, status, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvidia_smi(listed, status)
    assert visible() == expected


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("1", [B]),
        (f" 2 , {A}", [C, A]),
        ("0,7,1", [A]),
        ("0,-1,1", [A]),
        ("-1", []),
        ("", []),
        ("NoDevFiles", []),
        ("0,,1", [A]),
        ("1,gpu,2", [B]),
        ("0,0", []),
        (f"0,1,{A}", []),
        ("1,9,1", [B]),
        ("GPU-8f3,GPU-c", [A, C]),
        ("GPU-8f,0", []),  # the beginning of two
        ("2,GPU-ff", [C]),
        ("MIG-f00", ["MIG-f00"]),
        ("MIG-GPU-8f9/1/0", ["MIG-GPU-8f9/1/0"]),
        ("MIG-../../x", []),
    ],
)
def test_the_variable_is_read_as_cuda_does(nvidia_smi, monkeypatch, named, expected):
    nvidia_smi(THREE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible() == expected


@pytest.mark.parametrize(
    ("named", "expected"),
    [("3,GPU-a", ["3", "GPU-a"]), ("0,-1,1", ["0"]), ("1,1", []), ("0,../x", ["0"]), ("all", []), (None, [])],
)
@pytest.mark.parametrize("smi", [None, "No devices were found"])
def test_without_a_list_the_variable_is_believed(nvidia_smi, monkeypatch, named, expected, smi):
    nvidia_smi(smi) if smi else monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible() == expected


@pytest.mark.parametrize(("first", "second"), [("0", "GPU-8f3"), (A, "0"), ("GPU-8f3", f"{A[:12]},9")])
def test_one_device_has_one_lock_by_whatever_name(nvidia_smi, start, monkeypatch, first, second):
    nvidia_smi(THREE)
    path = os.environ["PATH"]
    holder = start(HOLDER, PATH=path, CUDA_VISIBLE_DEVICES=first)
    assert line(holder.stdout) == A
    waiting = start(HOLDER, PATH=path, CUDA_VISIBLE_DEVICES=second)
    assert line(waiting.stderr) == f"nearfar: all GPUs are taken ({A}); waiting for one"
    holder.kill()
    assert line(waiting.stdout) == A


def test_a_part_of_a_gpu_can_be_leased(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-GPU-8f9/1/0")
    with leased("cuda"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "MIG-GPU-8f9/1/0"


@pytest.mark.parametrize("chosen", [None, ":16:8"])
def test_a_gpu_is_held_to_deterministic_algorithms_and_whole_float32(monkeypatch, chosen):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is as before afterwards
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG") if chosen is None else monkeypatch.setenv(
        "CUBLAS_WORKSPACE_CONFIG", chosen
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    try:
        use_device("cpu")
        assert not torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.allow_tf32
        use_device("cuda")
        assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.allow_tf32
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == (chosen or ":4096:8")
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_gpu_that_torch_does_not_find_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NearfarError, match="device: 'cuda' is not to be had here; set it to 'cpu' or run on a machine"):
        use_device("cuda")
    use_device("cpu")


@pytest.mark.parametrize("named", ["", "-1,0", "2,2"])
def test_no_device_at_all(monkeypatch, named):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    message = f"no GPU is visible here .CUDA_VISIBLE_DEVICES is '{named}'.; set it to 'cpu'"
    with pytest.raises(NearfarError, match=message), leased("cuda"):
        pass


def test_the_environment_is_as_before(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    with leased("cuda"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5"
    with leased("cpu"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5"
