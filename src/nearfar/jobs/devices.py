"""One GPU for one job: Snakemake counts GPUs (`resources: gpu`) and assigns none, so a job leases a free one itself."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from nearfar.errors import SetupError
from nearfar.jobs.locks import locked

POLL = 0.2  # seconds between two looks at the devices that others hold
QUERY = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
LISTED = re.compile(r"\s*([0-9]+)\s*,\s*(GPU-[\w-]+)\s*")
ENTRY = re.compile(r"[0-9]+|(GPU|MIG)-[\w/-]+")


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
        said = "is not set" if before is None else f"is {before!r}"
        raise SetupError(
            f"device: {device!r}, but no GPU is visible here (CUDA_VISIBLE_DEVICES {said}); set it to 'cpu', or that "
            f"variable to what nvidia-smi lists"
        )
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
    """Return the GPUs that this process may use, by their uuids where nvidia-smi knows them.

    CUDA_VISIBLE_DEVICES is read as CUDA does: what follows the first entry that is no device does not count, and where
    a device is named twice there is none. An index counts as nvidia-smi's.
    """
    uuids, named = _uuids(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return list(uuids.values())
    entries = (_device(word.strip(), uuids) for word in named.split(","))
    found = list(takewhile(lambda device: device is not None, entries))
    return found if len(found) == len(set(found)) else []


def _device(word, uuids):
    """Return the uuid that an index or the beginning of a uuid stands for, or None where it is not one device's.

    Of what nvidia-smi does not list, parts of a GPU (MIG) or, without it, all, the word itself.
    """
    if word.startswith("MIG-") or not uuids:
        return word if ENTRY.fullmatch(word) else None
    if word in uuids:
        return uuids[word]
    known = [uuid for uuid in uuids.values() if word.startswith("GPU-") and uuid.startswith(word)]
    return known[0] if len(known) == 1 else None


def use_device(device: str) -> None:
    """Raise NearfarError where torch cannot use ``device``; let "cuda" give the same bytes every time.

    For the rest of the process torch then takes deterministic algorithms alone, and float32 is no TF32. On another card
    or with other libraries the bytes may differ. To be called before CUDA is first used.
    """
    if device == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        raise SetupError(f"device: {device!r} is not to be had here; set it to 'cpu' or run on a machine with a GPU")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it torch refuses: cuBLAS adds in any order
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def _uuids():
    """Return a dict from the index of every GPU, in nvidia-smi's order, to its uuid; empty where it lists none."""
    try:
        done = subprocess.run(QUERY, capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = map(LISTED.fullmatch, done.stdout.splitlines())  # other lines speak of what is amiss
    return {line[1]: line[2] for line in lines if line}


def _first_free(names):
    said = False
    while True:
        for name in names:
            if (lock := locked(Path(tempfile.gettempdir(), f"nearfar-gpu-{name.replace('/', '_')}.lock"))) is not None:
                return name, lock
        if not said:
            print(f"nearfar: all GPUs are taken ({', '.join(names)}); waiting for one", file=sys.stderr, flush=True)
            said = True
        time.sleep(POLL)
