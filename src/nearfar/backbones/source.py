"""Where a backbone comes from: a local folder, a hub repository at a pinned revision, or a seed."""

import hashlib
import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from nearfar.backbones.checkpoints import CONFIG, FILES, WEIGHTS
from nearfar.backbones.families import CHECKPOINTS, family_class, family_of
from nearfar.errors import NearfarError
from nearfar.jobs.files import replacing, write_text
from nearfar.jobs.provenance import MODELS

SUFFIXES = " or ".join(CHECKPOINTS)
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(
    name: str | Path,
    folder: str | Path,
    *,
    family: str,
    revision: str | None = None,
    sha256: str | None = None,
    config: dict[str, Any] | None = None,
    seed: int = 0,
    file: str | None = None,
) -> None:
    """Put the config.json and model.safetensors of backbone ``name``, which is of ``family``, into ``folder``.

    ``name`` is what resolve takes, or ``untrained``, which makes one of ``config`` from ``seed``. The weights are
    linked, not copied; a checkpoint is converted, so that it is not read again. Raises NearfarError as resolve and
    Backbone.load do, and for a backbone of another family.
    """
    if name == "untrained":
        family_class(family).untrained(config or {}, seed).save(folder)
        return
    source, folder = resolve(name, revision, sha256, file), Path(folder)
    if (found := family_of(source)) != family:
        raise NearfarError(f"{source}: is of the family {found}; list it as features.{found}, not features.{family}")
    if source.is_file():
        family_class(family).load(source).save(folder)
    elif source.resolve() != folder.resolve():  # a link to itself would destroy the weights
        with replacing(folder / WEIGHTS) as temporary:
            temporary.symlink_to((source / WEIGHTS).resolve())
        write_text(folder / CONFIG, (source / CONFIG).read_text(encoding="utf-8"))


def resolve(name: str | Path, revision: str | None = None, sha256: str | None = None, file: str | None = None) -> Path:
    """Return the local folder that holds config.json and model.safetensors of ``name``, or a checkpoint file.

    ``name`` is a checkpoint file (of CHECKPOINTS) or a folder on this disk, a model that nearfar ships, or a hub name
    ``owner/name``, taken from the local cache or downloaded. A folder gives its checkpoint where ``file`` names one or
    where it is all there is.
    Raises NearfarError for a hub name whose content nothing pins, for files that are absent or incomplete, and
    where ``sha256`` is given and the checkpoint or model.safetensors has another.
    """
    if file and Path(file).suffix not in CHECKPOINTS:
        raise NearfarError(f"backbone file {file!r}: no {SUFFIXES} file; name a checkpoint, or none")
    here = [place for place in (Path(name), MODELS / name) if place.exists()]
    place = here[0] if here else _from_hub(str(name), revision, sha256, file)
    source = _checkpoint(place, file) or place
    if source.is_dir():
        for wanted in FILES:
            if not (source / wanted).is_file():
                raise NearfarError(
                    f"{source / wanted}: absent; put a backbone's {' and '.join(FILES)}, or one checkpoint"
                    f" ({SUFFIXES}), into that folder"
                )
        _refuse_incomplete(source / WEIGHTS)
    if sha256:
        _refuse_other(source / WEIGHTS if source.is_dir() else source, sha256)
    return source


def _checkpoint(place: Path, file: str | None) -> Path | None:
    """Return the checkpoint that a path on this disk is or holds, None for a folder with other weights."""
    if place.is_file():
        if place.suffix not in CHECKPOINTS:
            raise NearfarError(f"{place}: no {SUFFIXES} file; give a checkpoint, or the folder of a backbone")
        return place
    if file:
        if not (place / file).is_file():
            raise NearfarError(f"{place / file}: absent; put the checkpoint there")
        return place / file
    found = [] if (place / WEIGHTS).exists() else sorted(path for path in place.iterdir() if path.suffix in CHECKPOINTS)
    if len(found) > 1:
        raise NearfarError(f"{place}: holds {found[0].name} and {len(found) - 1} more; say which with file")
    return found[0] if found else None


def _from_hub(name: str, revision: str | None, sha256: str | None, file: str | None) -> Path:
    """Return the folder of a hub snapshot that has FILES or ``file``; HF_HUB_OFFLINE and the hub's cache apply."""
    wanted = [file] if file else list(FILES)
    if not HUB_NAME.fullmatch(name):
        raise NearfarError(f"backbone {name!r}: no such folder, and not a hub name owner/name; give one of these")
    if not revision:
        raise NearfarError(
            f"backbone {name!r}: no such folder, and a hub name needs a revision; give a 40-digit commit of it "
            f"as revision (in a configuration beside the name), or name a folder with its {' and '.join(wanted)}"
        )
    if not COMMIT.fullmatch(revision) and not sha256:
        raise NearfarError(f"backbone {name!r}: revision {revision!r} can change; give a 40-digit commit, or a sha256")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    ask = partial(snapshot_download, name, revision=revision, allow_patterns=wanted)
    if COMMIT.fullmatch(revision):  # its content cannot change: the cache needs no word from the hub
        with suppress(LocalEntryNotFoundError):
            folder = Path(ask(local_files_only=True))
            if all((folder / part).is_file() for part in wanted):
                return folder
    try:
        return Path(ask())
    except Exception as error:  # the hub's client raises its own, httpx's and the system's errors
        raise NearfarError(
            f"backbone {name!r}: not in the hub's cache and not to be had at revision {revision}"
            f" ({type(error).__name__}); put its {' and '.join(wanted)} into a folder and name that folder instead"
        ) from error


def _refuse_incomplete(path: Path) -> None:
    """Raise NearfarError unless the header of a safetensors file agrees with the file's size."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except (OSError, SafetensorError) as error:
        raise NearfarError(f"{path}: incomplete or no safetensors file ({error}); download it again") from error


def _refuse_other(path: Path, sha256: str) -> None:
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        raise NearfarError(f"{path}: sha256 is {found}, not {sha256}; download it again or mend the sha256")
