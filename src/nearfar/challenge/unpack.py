"""The clips of an archive, into their folder and nowhere else."""

import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from nearfar.challenge import zips
from nearfar.errors import NearfarError, error_prefix, one_line
from nearfar.jobs.files import replacing
from nearfar.jobs.progress import bar

ATTRIBUTES = "attributes_00.csv"  # beside train and test; the archive with the training clips has it
ENTRIES = 20_000  # a machine of the challenge has some 1,400 clips
LARGEST = 2**28  # bytes of a clip; ten minutes of two channels take 40 MB
RATIO, ALWAYS = 100, 2**30  # an archive inflates to RATIO times its size at most, or to ALWAYS bytes
NAME = 255  # bytes of a file's name
AGAIN = "delete it and run the target download again"


def unpack(archive: str | Path, folder: str | Path) -> None:
    """Put the clips that ``archive`` holds in a folder of the same name as ``folder`` (train or test) there.

    The folder takes its name when all clips are in it, each with the size and checksum that the archive has for it.
    With the training clips comes the machine's attributes_00.csv. Raises NearfarError for an archive that is broken or
    beyond the bounds above, holds a path that leads elsewhere, a link or a name twice, or has no such folder, and where
    the disk is full.
    """
    folder = Path(folder)
    with replacing(folder) as temporary, _opened(archive) as source:
        clips, attributes = _members(source, folder.name)
        left = max(ALWAYS, RATIO * os.path.getsize(archive))
        temporary.mkdir()
        for member in bar(clips, f"{folder.parent.name}/{folder.name}", "file"):
            left -= _extract(source, member, temporary / PurePosixPath(member.filename).name)
            if left < 0:
                raise NearfarError(f"inflates to more than {RATIO} times its size; {AGAIN}")
        if attributes and folder.name == "train":
            with replacing(folder.with_name(ATTRIBUTES)) as table:
                _extract(source, attributes, table)


@contextmanager
def _opened(archive: str | Path) -> Iterator[zipfile.ZipFile]:
    with error_prefix(archive):
        try:
            with zips.opened(archive, ENTRIES) as source:
                yield source
        except zipfile.BadZipFile as error:
            raise NearfarError(f"no whole zip archive ({error}); {AGAIN}") from error


def _members(source, split):
    """Return the members that are clips of ``split``, and the one that is the table of attributes or None."""
    members = [member for member in source.infolist() if not member.is_dir()]
    paths = {member: PurePosixPath(member.filename) for member in members}
    twice = {path for path, count in Counter(paths.values()).items() if count > 1}
    for member in source.infolist():
        fault = zips.unsafe(member) or ("stands there twice" if paths.get(member) in twice else None)
        if len(os.fsencode(PurePosixPath(member.filename).name)) > NAME:
            fault = f"has a name of more than {NAME} bytes"
        if fault:
            raise NearfarError(f"{one_line(member.filename, 80)} {fault}; nothing was unpacked, {AGAIN}")
    clips = [m for m in members if paths[m].parent.name == split and paths[m].parts[0] != "__MACOSX"]
    homes = sorted({str(paths[member].parent) for member in clips})
    if len(homes) != 1:
        what = f"folders {homes[0]} and {homes[1]}" if homes else f"no folder {split} with clips"
        raise NearfarError(f"holds {what}; put one machine's clips into the data folder by hand")
    table = PurePosixPath(homes[0]).with_name(ATTRIBUTES)
    return clips, next((member for member in members if paths[member] == table), None)


def _extract(source: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> int:
    """Write a member to ``path`` and return its number of bytes."""
    with open(path, "wb") as file:
        for piece in zips.inflate(source, member, LARGEST):
            file.write(piece)
        return file.tell()
