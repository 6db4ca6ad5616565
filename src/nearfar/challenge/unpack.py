"""The clips of an archive, into their folder and nowhere else."""

import shutil
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from nearfar.challenge.zips import unsafe
from nearfar.errors import NearfarError
from nearfar.jobs.files import replacing
from nearfar.jobs.progress import bar

ATTRIBUTES = "attributes_00.csv"  # beside train and test; the archive with the training clips has it
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)  # what zipfile raises


def unpack(archive, folder):
    """Put the clips that ``archive`` holds in a folder of the same name as ``folder`` (train or test) there.

    The folder takes its name when all clips are in it, each with the checksum that the archive has for it. With the
    training clips comes the machine's attributes_00.csv. Raises NearfarError for an archive that is broken, holds a
    path that leads elsewhere or a link, or has no such folder, and where the disk is full.
    """
    folder = Path(folder)
    with replacing(folder) as temporary, _opened(archive) as source:
        clips, attributes = _members(source, archive, folder.name)
        temporary.mkdir()
        for member in bar(clips, f"{folder.parent.name}/{folder.name}", "file"):
            _extract(source, member, temporary / PurePosixPath(member.filename).name)
        if attributes and folder.name == "train":
            with replacing(folder.with_name(ATTRIBUTES)) as table:
                _extract(source, attributes, table)


@contextmanager
def _opened(archive):
    try:
        with zipfile.ZipFile(archive) as source:
            yield source
    except BROKEN as error:
        raise NearfarError(
            f"{archive}: no whole zip archive ({error}); delete it and run the target download again"
        ) from error


def _members(source, archive, split):
    """Return the members that are clips of ``split``, and the one that is the table of attributes or None."""
    members = [member for member in source.infolist() if not member.is_dir()]
    for member in source.infolist():
        if fault := unsafe(member):
            raise NearfarError(
                f"{archive}: {member.filename} {fault}; nothing was unpacked, delete that archive and run the target "
                f"download again"
            )
    paths = {member: PurePosixPath(member.filename) for member in members}
    clips = [m for m in members if paths[m].parent.name == split and paths[m].parts[0] != "__MACOSX"]
    homes = sorted({str(paths[member].parent) for member in clips})
    if len(homes) != 1:
        what = f"folders {homes[0]} and {homes[1]}" if homes else f"no folder {split} with clips"
        raise NearfarError(f"{archive}: holds {what}; put one machine's clips into the data folder by hand")
    table = PurePosixPath(homes[0]).with_name(ATTRIBUTES)
    return clips, next((member for member in members if paths[member] == table), None)


def _extract(source, member, path):
    with source.open(member) as content, open(path, "wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
