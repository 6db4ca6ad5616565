"""What a submission's zip or folder holds, read within bounds."""

import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from nearfar.challenge import zips
from nearfar.data.documents import LONGEST, read_bytes
from nearfar.errors import NearfarError, error_prefix

ENTRIES = 1000  # files and folders; four systems of 100 machines have 805
LARGEST = {".csv": 2**20, ".yaml": LONGEST, ".pdf": 2**26}  # bytes of a file; the scores of a machine take 10 kB
IN_ALL = {".csv": 2**23, ".yaml": 4 * LONGEST, ".pdf": 2**26}  # bytes of all files of a kind
MAGIC = 4  # bytes that tell a report
GIVE = "give a zip or the folder with the systems' folders"


class Package:
    """The files of a submission: ``files``, a dict from name to bytes, and ``faults``, a line of each left out.

    Of a report only the first bytes are kept; of a file of another kind than a submission has, the name alone.
    """

    def __init__(self, path: str | Path) -> None:
        """Read a zip or folder; raises NearfarError where it is neither, or holds more than ENTRIES or IN_ALL."""
        self.files: dict[str, bytes] = {}
        self.faults: list[str] = []
        self._left = dict(IN_ALL)
        with error_prefix(path):
            if os.path.isfile(path):
                self._read_zip(path)
            else:
                self._read_folder(path)

    def _read_zip(self, path):
        try:
            with zips.opened(path, ENTRIES) as archive:
                for entry in archive.infolist():
                    if fault := self._fault(entry):
                        self.faults.append(f"{entry.filename}: {fault}")
                    elif not entry.is_dir():
                        self._take_entry(archive, entry)
        except zipfile.BadZipFile as error:
            raise NearfarError(f"no readable zip ({error}); {GIVE}") from None

    def _fault(self, entry):
        """Return why a zip entry is not to be unpacked, or None."""
        if fault := zips.unsafe(entry):
            return f"{fault}; put the file itself there, as <label>/<file>"
        if entry.flag_bits & 1:
            return "is encrypted; make the zip without a password"
        return "stands in the zip twice; keep one" if entry.filename in self.files else None

    def _take_entry(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
        name, most = entry.filename, LARGEST.get(_kind(entry.filename))
        try:
            self._take(name, zips.inflate(archive, entry, most) if most else ())
        except zipfile.BadZipFile as error:
            self.faults.append(f"{name}: cannot be unpacked ({error}); make the zip again")

    def _read_folder(self, folder):
        for name in sorted(_names(folder)):
            most = LARGEST.get(_kind(name))
            try:
                content = [read_bytes(Path(folder, name), most)] if most else ()
            except NearfarError as error:
                self.faults.append(f"{name}: {error}")
            else:
                self._take(name, content)

    def _take(self, name: str, pieces: Iterable[bytes]) -> None:
        kind, content = _kind(name), bytearray()
        keep = MAGIC if kind == ".pdf" else IN_ALL.get(kind)
        for piece in pieces:
            self._left[kind] -= len(piece)
            if self._left[kind] < 0:
                raise NearfarError(f"its {kind} files hold more than {IN_ALL[kind]:,} bytes; take some out")
            content += piece[: max(0, keep - len(content))]
        self.files[name] = bytes(content)


def _kind(name):
    return PurePosixPath(name).suffix


def _names(folder: str | Path) -> Iterator[str]:
    """Yield the names of what is no folder below ``folder``; links to folders are not followed."""
    for count, entry in enumerate(_entries(folder)):
        if count >= ENTRIES:
            raise NearfarError(f"more than {ENTRIES:,} files and folders in it; {GIVE}")
        if not entry.is_dir(follow_symlinks=False):
            yield Path(entry.path).relative_to(folder).as_posix()


def _entries(folder):
    waiting = [folder]
    try:
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    yield entry
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
    except OSError as error:
        place = "" if error.filename == str(folder) else f"{error.filename}: "
        raise NearfarError(f"{place}{error.strerror.lower()}; {GIVE}") from None
