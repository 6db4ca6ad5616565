"""The state of a training that may be killed at any time: all that its rest depends on, in one file.

Snakemake does not know of the file, since it deletes the declared outputs of a job that fails.
"""

import hashlib
import io
import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import torch

from nearfar.jobs.files import write_bytes
from nearfar.jobs.provenance import sources

LIBRARIES = ("numpy", "peft", "torch")


def identity(settings: dict, files: Iterable[str | Path], module: str) -> str:
    """Return a text that differs where settings, inputs, our code or the libraries do.

    settings: what JSON can hold; files: paths of the inputs, whose contents count; module: the file, relative to the
    repository, of the module that trains: it and all that it imports are the code.
    """
    about = [settings, [version(name) for name in LIBRARIES]]
    total = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for path in [*files, *sources(module)]:
        with open(path, "rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def write_state(path: str | Path, whose: str, state: dict) -> None:
    """Write a training's ``state``, a dict of numbers, texts, lists, dicts and tensors; whose: its identity.

    Raises NearfarError where the disk is full or the folder cannot be written to.
    """
    buffer = io.BytesIO()  # torch's own writer hides why a file cannot be written
    torch.save({"identity": whose, "state": state}, buffer)
    write_bytes(path, buffer.getbuffer())


def read_state(path: str | Path, whose: str) -> dict | None:
    """Return the state that write_state wrote, its tensors on the CPU.

    Returns None where there is none, where it cannot be read and where it is of another identity.
    """
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever torch raises on bytes that are no state
        return None
    mine = isinstance(kept, dict) and kept.get("identity") == whose
    return kept["state"] if mine else None
