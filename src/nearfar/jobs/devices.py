"""One GPU for one job: Snakemake counts GPUs (`resources: gpu`) and assigns none, so a job leases a free one itself."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nearfar.errors import NearfarError
from nearfar.jobs.locks import locked

POLL = 0.2  # seconds between two looks at the devices that others hold
QUERY = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]


@contextmanager
def leased(device: str) -> Iterator[None]:
    """Let ``device`` "cuda" be one free GPU inside the block, the only one the process sees; "cpu" needs none.

    The first free device of CUDA_VISIBLE_DEVICES, or of all that nvidia-smi lists, is locked by its uuid (without
    nvidia-smi, by its name in that variable) among all processes of this machine. Says so on stderr where it has to
    wait. To be entered before CUDA is first used. The kernel gives the lock back however the process ends.
    Raises NearfarError where there is no device.
    """
    if device == "cpu":
        yield
        return
    before, names = os.environ.get("CUDA_VISIBLE_DEVICES"), visible()
    if not names:
        raise NearfarError(f"device: {device!r}, but no GPU is visible here; set it to 'cpu' or CUDA_VISIBLE_DEVICES")
    name, lock = _first_free(names)
    os.environ["CUDA_VISIBLE_DEVICES"] = name
    try:
        yield
    finally:
        os.close(lock)
        del os.environ["CUDA_VISIBLE_DEVICES"]
        if before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def visible() -> list[str]:
    """Return the names of the GPUs this process may use: uuids, or as CUDA_VISIBLE_DEVICES has them."""
    uuids, named = _uuids(), os.environ.get("CUDA_VISIBLE_DEVICES")
    words = list(uuids) if named is None else [word.strip() for word in named.split(",")]
    return [uuids.get(word, word) for word in words if word not in ("", "-1")]


def refuse_absent(device: str) -> None:
    """Raise NearfarError where torch cannot use ``device``."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise NearfarError(f"device: {device!r} is not to be had here; set it to 'cpu' or run on a machine with a GPU")


def _uuids():
    """Return a dict from the index of every GPU, in nvidia-smi's order, to its uuid; empty without nvidia-smi."""
    try:
        listed = subprocess.run(QUERY, capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return {}
    return dict(line.split(", ") for line in listed.splitlines())


def _first_free(names):
    said = False
    while True:
        for name in names:
            if (lock := locked(Path(tempfile.gettempdir(), f"nearfar-gpu-{name}.lock"))) is not None:
                return name, lock
        if not said:
            print(f"nearfar: all GPUs are taken ({', '.join(names)}); waiting for one", file=sys.stderr, flush=True)
            said = True
        time.sleep(POLL)
