"""What files hold, in short. Runs while the workflow is parsed: no heavy import, and unchanged files are not read.

Snakemake compares inputs by time, and so overlooks a file that is replaced by one with an older time (cp -p, rsync,
tar, git checkout). What no job makes is compared by these digests instead, as a parameter of the jobs that read it.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

NOTES = Path(".snakemake/nearfar")  # beside Snakemake's own notes: what is known of files from earlier runs
RACY = 2_000_000_000  # ns: a file this young may change again without another time, so its digest is not kept
UNREADABLE = "unreadable"


def digest_of(paths: Sequence[str | Path]) -> str:
    """Return a text that changes with the content or the name of one of the files, and not with their times."""
    pairs = zip(map(os.fspath, paths), digests(paths), strict=True)
    return together(f"{name} {digest}" for name, digest in pairs)


def together(words: Iterable[str]) -> str:
    """Return one digest of words; file names among them may hold what is no UTF-8."""
    return hashlib.sha256("\n".join(words).encode("utf-8", "surrogateescape")).hexdigest()


def digests(paths: Sequence[str | Path]) -> list[str]:
    """Return the sha256 of each file's whole content, UNREADABLE for what cannot be read as a file.

    A file is read again only where device, inode, size, mtime or ctime differ from what is noted in NOTES.
    """
    notes = NOTES / f"{hashlib.sha256(os.fsencode(os.path.abspath(paths[0]))).hexdigest()[:16]}.json" if paths else None
    known, identities = _noted(notes), [_identity(path) for path in paths]
    unknown = [number for number, identity in enumerate(identities) if identity and identity not in known]
    found = {identity: known[identity] for identity in identities if identity in known}
    with ThreadPoolExecutor(os.cpu_count()) as readers:  # hashing lets go of the interpreter
        made = readers.map(digest, (paths[number] for number in _with_bar(unknown)))
        found |= {identities[number]: digest for number, digest in zip(unknown, made, strict=True)}
    if unknown:
        _note(notes, found)
    return [found.get(identity, UNREADABLE) for identity in identities]


def _identity(path: str | Path) -> str | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def digest(path: str | Path) -> str:
    """Return the sha256 of a file's whole content, UNREADABLE for what cannot be read as a file."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # the job that needs the file says what is wrong with it, for its machine alone
        return UNREADABLE


def _with_bar(unknown: list[int]) -> Sequence[int]:
    if len(unknown) < 100:
        return unknown
    from nearfar.jobs.progress import bar

    return bar(unknown, "reading the clips' content")


def _noted(notes: Path | None) -> dict[str, str]:
    try:
        return json.loads(notes.read_text(encoding="utf-8")) if notes else {}
    except (OSError, ValueError):
        return {}


def _note(notes: Path, found: dict[str, str]) -> None:
    """Keep what is known for the next run; where nothing can be written, that one reads the files again."""
    limit = time.time_ns() - RACY
    kept = {key: value for key, value in found.items() if value != UNREADABLE and int(key.split()[-1]) < limit}
    temporary = notes.with_suffix(f".{os.getpid()}.part")
    with suppress(OSError):
        notes.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(kept), encoding="utf-8")
        os.replace(temporary, notes)
