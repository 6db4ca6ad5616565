"""Where a backbone comes from: a local folder, a hub repository at a pinned revision, or a seed."""

import hashlib
import re
from contextlib import suppress
from functools import partial
from pathlib import Path

from nearfar.errors import NearfarError
from nearfar.files import replacing, write_text

CONFIG, WEIGHTS = FILES = ("config.json", "model.safetensors")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(name, folder, revision=None, sha256=None, config=None, seed=0):
    """Put the config.json and model.safetensors of backbone ``name`` into ``folder``.

    ``name`` is a local folder, a hub name ``owner/name`` or ``untrained``, which makes an EAT of ``config`` from
    ``seed``. The weights are linked, not copied. Raises NearfarError as resolve does.
    """
    if name == "untrained":
        from nearfar import eat

        return eat.save(eat.untrained(config or {}, seed), {"model_type": "eat"} | (config or {}), folder)
    source, folder = resolve(name, revision, sha256).resolve(), Path(folder)
    if source == folder.resolve():  # a link to itself would destroy the weights
        return
    with replacing(folder / WEIGHTS) as temporary:
        temporary.symlink_to((source / WEIGHTS).resolve())
    write_text(folder / CONFIG, (source / CONFIG).read_text(encoding="utf-8"))


def resolve(name, revision=None, sha256=None):
    """Return the local folder that holds config.json and model.safetensors of backbone ``name``.

    ``name`` is a folder on this disk or a hub name ``owner/name``, taken from the local cache or downloaded.
    Raises NearfarError for a hub name whose content nothing pins, for files that are absent or incomplete, and
    where ``sha256`` is given and model.safetensors has another.
    """
    folder = Path(name) if Path(name).is_dir() else _from_hub(str(name), revision, sha256)
    for file in FILES:
        if not (folder / file).is_file():
            raise NearfarError(f"{folder / file}: absent; put EAT's {' and '.join(FILES)} into that folder")
    _refuse_incomplete(folder / WEIGHTS)
    if sha256:
        _refuse_other(folder / WEIGHTS, sha256)
    return folder


def _from_hub(name, revision, sha256):
    """Return the folder of a hub snapshot; HF_HUB_OFFLINE and the hub's cache apply."""
    if not HUB_NAME.fullmatch(name):
        raise NearfarError(f"backbone {name!r}: no such folder, and not a hub name owner/name; give one of these")
    if not revision:
        raise NearfarError(f"backbone {name!r}: no such folder, and a hub name needs a revision; pin the commit")
    if not COMMIT.fullmatch(revision) and not sha256:
        raise NearfarError(f"backbone {name!r}: revision {revision!r} can change; give a 40-digit commit, or a sha256")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    ask = partial(snapshot_download, name, revision=revision, allow_patterns=list(FILES))
    if COMMIT.fullmatch(revision):  # its content cannot change: the cache needs no word from the hub
        with suppress(LocalEntryNotFoundError):
            folder = Path(ask(local_files_only=True))
            if all((folder / file).is_file() for file in FILES):
                return folder
    try:
        return Path(ask())
    except Exception as error:  # the hub's client raises its own, httpx's and the system's errors
        raise NearfarError(
            f"backbone {name!r}: not in the hub's cache and not to be had at revision {revision}"
            f" ({type(error).__name__}); put its {' and '.join(FILES)} into a folder and name that folder instead"
        ) from error


def _refuse_incomplete(path):
    """Raise NearfarError unless the header of a safetensors file agrees with the file's size."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except (OSError, SafetensorError) as error:
        raise NearfarError(f"{path}: incomplete or no safetensors file ({error}); download it again") from error


def _refuse_other(path, sha256):
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        raise NearfarError(f"{path}: sha256 is {found}, not {sha256}; download it again or mend the sha256")
