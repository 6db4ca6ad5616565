"""Where the clips lie on disk: the challenge's folder layout. Runs while the workflow is parsed: no heavy import."""

import hashlib
import os
from functools import cache
from pathlib import Path

from nearfar.data.names import LABELLED
from nearfar.errors import NearfarError

SETS = ("", "raw", "dev_data/raw", "eval_data/raw")
SPLITS = ("train", "test")


@cache
def folders(root):
    """Return a dict from machine to its folder, for all machines under ``root``, sorted by name.

    A machine is a folder with ``train`` or ``test`` in it, directly in ``root`` or in one of the challenge's
    sub-folders. Raises NearfarError where there is none, or where one machine is found twice.
    """
    found = {}
    for place in (Path(root, name) for name in SETS):
        for folder in sorted(place.iterdir()) if place.is_dir() else ():
            if any((folder / split).is_dir() for split in SPLITS):
                if folder.name in found:
                    raise NearfarError(f"{folder}: machine found again, as in {found[folder.name]}; rename one of them")
                if set(folder.name) & set("{}"):
                    raise NearfarError(f"{folder}: a machine's name may hold no braces; rename the folder")
                found[folder.name] = folder
    if not found:
        raise NearfarError(f"data.root: no machine folder with train/ or test/ in {root}; give the data set's folder")
    return dict(sorted(found.items()))


def wav_files(folder):
    """Return (split, file name) of every clip of a machine's folder, sorted; hidden files are passed over."""
    return sorted(
        (split, entry.name)
        for split in SPLITS
        if (Path(folder) / split).is_dir()
        for entry in os.scandir(Path(folder) / split)
        if not entry.name.startswith(".")
    )


@cache
def labelled(folder):
    """Return whether a test clip of the folder tells its label by its name."""
    return any(split == "test" and LABELLED.fullmatch(name) for split, name in wav_files(folder))


@cache
def fingerprint(folder):
    """Return a text that changes when a clip of the folder is added, removed or replaced, and not when it is touched.

    It is made of the names, the sizes and a kilobyte from the middle of each file: the whole content of a real data
    set would take minutes to read, and modification times change with every copy.
    """
    digest = hashlib.sha256()
    for split, name in wav_files(folder):
        path = os.path.join(folder, split, name)
        if not os.path.isfile(path):  # the clip table's job says what is wrong with it, for this machine alone
            digest.update(f"{split}/{name} ".encode())
            continue
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(size // 2)
            digest.update(f"{split}/{name} {size} ".encode() + file.read(1024))
    return digest.hexdigest()[:16]
