"""Where the clips lie on disk: the challenge's folder layout. Runs while the workflow is parsed: no heavy import."""

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from nearfar.data.names import LABELLED
from nearfar.errors import NearfarError, one_line
from nearfar.jobs.digests import digests, together

SETS = ("", "raw", "dev_data/raw", "eval_data/raw")
SPLITS = ("train", "test")
NO_MACHINES = {"__MACOSX", "lost+found"}  # what unpacking and disks leave behind
AUDIO = {".wav", ".wave", ".flac", ".aif", ".aiff", ".aifc", ".w64", ".rf64", ".mp3", ".m4a", ".ogg", ".opus"}
FLOOR = 10  # training clips of a machine: fewer say nothing of what is usual
LONGEST_NAME = 150  # bytes of a machine's name: files are named after it and a detector or view, of 255 in all


def is_own(data: Mapping[str, Any]) -> bool:
    """Return whether the configuration's ``data`` are somebody's own recordings, not of the challenge's layout."""
    return data["clips"] is not None or data["layout"] == "folders"


def skips(data: Mapping[str, Any]) -> bool:
    """Return whether clips that cannot be used are left out: of own recordings, unless bad_clips says otherwise."""
    return (data["bad_clips"] or ("skip" if is_own(data) else "refuse")) == "skip"


def caps(data: Mapping[str, Any]) -> bool:
    """Return whether folds and components are capped where there are few clips, by few_clips as for ``skips``."""
    return (data["few_clips"] or ("cap" if is_own(data) else "refuse")) == "cap"


@cache
def folders(root: str | Path) -> dict[str, Path]:
    """Return a dict from machine to its folder, for all machines under ``root``, sorted by name.

    A machine is a folder with ``train`` or ``test`` in it, directly in ``root`` or in one of the challenge's
    sub-folders; one that may not be looked into counts, so that its own jobs say so. Raises NearfarError where there
    is none, where one machine is found twice, and for a name that no file can bear.
    """
    found = {}
    for place in (Path(root, name) for name in SETS):
        for folder in sorted(entry for entry in _listed(place) if _is_machine(entry)):
            name = _usable(folder)
            if name in found:
                raise NearfarError(f"{folder}: machine found again, as in {found[name]}; rename one of them")
            found[name] = folder
    if not found:
        raise NearfarError(f"data.root: no machine folder with train/ or test/ in {root}; give the data set's folder")
    return dict(sorted(found.items()))


def is_folder(path: str | Path) -> bool:
    """Return whether a folder is there, or may be: behind one that may not be looked into."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False


def wav_files(folder: str | Path, split: str) -> list[str]:
    """Return the file name of every clip of a split in a machine's folder, sorted.

    What is no audio is passed over: hidden files, and names that end otherwise. A name without an ending that begins
    as the challenge's do is a clip all the same, so that none is lost without a word. A folder that cannot be listed
    has none, see refuse_unreadable.
    """
    with suppress(OSError):
        return sorted(name for name in os.listdir(Path(folder, split)) if _is_clip(name))
    return []


def refuse_unreadable(folder: str | Path) -> None:
    """Raise NearfarError where the clips of a machine's folder cannot be listed, or its name not be written."""
    if not str(folder).isprintable():
        raise NearfarError(f"{folder}: its name holds control characters or is not UTF-8; rename the folder")
    for place in (Path(folder), *(Path(folder, split) for split in SPLITS)):
        try:
            os.listdir(place)
        except PermissionError:
            raise NearfarError(f"{place}: no permission to list it; give it with chmod u+rx") from None
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):  # a split may be absent
                raise NearfarError(f"{place}: cannot be listed ({os.strerror(error.errno)}); copy it again") from error


@cache
def labelled(folder: str | Path) -> bool:
    """Return whether a test clip of the folder tells its label by its name."""
    return any(LABELLED.fullmatch(name) for name in wav_files(folder, "test"))


def _listed(place):
    """Return the paths in a folder of machines, none where there is no such folder."""
    try:
        return [Path(place, name) for name in os.listdir(place)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise NearfarError(f"{place}: cannot be listed ({os.strerror(error.errno)}); give access to it") from error


def _is_machine(folder):
    passed = folder.name.startswith(".") or folder.suffix == ".part" or folder.name in NO_MACHINES
    return not passed and is_folder(folder) and any(is_folder(folder / split) for split in SPLITS)


def _usable(folder):
    """Return the name of a machine, escaped where it cannot be printed."""
    if set(folder.name) & set("{}"):
        raise NearfarError(f"{folder}: a machine's name may hold no braces; rename the folder")
    if (length := len(os.fsencode(folder.name))) > LONGEST_NAME:
        raise NearfarError(
            f"{folder}: a machine's name of {length} bytes, the most is {LONGEST_NAME}; rename the folder"
        )
    return one_line(folder.name)


def _is_clip(name):
    suffix = Path(name).suffix.lower()
    return not name.startswith(".") and (suffix in AUDIO or (name.startswith("section_") and not suffix))


@cache
def fingerprint(folder: str | Path, split: str) -> str:
    """Return a text that changes when a clip of a split is added, removed or replaced; a touch changes nothing."""
    files = wav_files(folder, split)
    contents = digests([os.path.join(folder, split, name) for name in files])
    return together(f"{name} {content}" for name, content in zip(files, contents, strict=True))[:16]
