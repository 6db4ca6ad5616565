"""Zip archives from outside: where their entries would go, and inflating within bounds, whatever headers say."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from nearfar.data.documents import open_regular

# What zipfile raises of a broken archive beside BadZipFile.
BROKEN = (zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError, OverflowError)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile inflates those of the others without a bound
PIECE = 2**16  # bytes inflated at once
ENTRY = 400  # bytes of an entry of the directory, on average and at most


def unsafe(entry: zipfile.ZipInfo) -> str | None:
    """Return what is wrong with where an entry of a zip would go, or None: a link, or a path that leads elsewhere."""
    name = entry.filename
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link"
    if name.startswith("/") or ".." in PurePosixPath(name).parts or set("\\:") & set(name):
        return "leads out of the folder"
    return None


@contextmanager
def opened(path: str | Path, entries: int) -> Iterator[zipfile.ZipFile]:
    """Yield the archive at ``path``.

    Raises BadZipFile for what is no zip or holds more than ``entries`` entries, and NearfarError, without the path,
    for what is no regular file.
    """
    with open_regular(path) as file:
        with _as_bad_zip():
            archive = zipfile.ZipFile(_InPieces(file, entries * ENTRY))
        if len(archive.infolist()) > entries:
            raise zipfile.BadZipFile(f"more than {entries:,} entries")
        if not all(entry.filename for entry in archive.infolist()):
            raise zipfile.BadZipFile("an entry without a name")
        yield archive


def inflate(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> Iterator[bytes]:
    """Yield the bytes of an entry, piece by piece.

    Raises BadZipFile for more than ``most`` bytes, for another size or checksum than the headers', and for a method
    other than store and deflate.
    """
    if entry.compress_type not in METHODS:
        raise zipfile.BadZipFile("packed by another method than deflate")
    whole, size = copy(entry), 0
    whole.file_size = most + 2 * PIECE  # zipfile stops at the size that the header tells
    with _as_bad_zip(), archive.open(whole) as content:
        while piece := content.read(PIECE):
            size += len(piece)
            if size > most:
                raise zipfile.BadZipFile(f"more than {most:,} bytes")
            yield piece
    if size != entry.file_size:
        raise zipfile.BadZipFile(f"{size:,} bytes, of which the header tells {entry.file_size:,}")


@contextmanager
def _as_bad_zip():
    try:
        yield
    except BROKEN as error:
        raise zipfile.BadZipFile(str(error) or type(error).__name__) from error


class _InPieces:
    """A file that refuses to be read in one great piece, as zipfile reads a directory before it counts it."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file, self._most = file, max(most, 2 * PIECE)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes; raises BadZipFile for more than are allowed at once."""
        if size > self._most:
            raise zipfile.BadZipFile(f"a directory of {size:,} bytes, too many entries")
        return self._file.read(size)
