"""The csv that results are appended to: whole recordings alone, whenever the process is killed."""

import csv
import io
import os
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from nearfar.errors import NearfarError, SetupError
from nearfar.export.clips import Row
from nearfar.jobs.files import writing
from nearfar.jobs.locks import locked

TOLD = ("clip", "start", "machine", "score", "threshold", "decision", "p", "reasons", "note")
COLUMNS = (*TOLD, "scored", "recording", "bytes", "modified", "windows", "model")  # the time, the file, what scored it


class Journal:
    """A csv of results, open to be appended to by this process alone.

    A recording's rows are one write, then synced; rows of one that a kill left incomplete are cut off when it is opened
    again. ``known`` are the recordings that have rows, as (recording, bytes, modified) texts; ``p_values`` those of
    ``model``, by machine, oldest first.
    Raises NearfarError for a file that is another's or no such csv, and where the disk is full.
    """

    def __init__(self, path: str | Path, model: str) -> None:
        self.path, self.model = Path(path), model
        self.known, self.p_values = set(), defaultdict(list)
        if self.path.exists() and not self.path.is_file():
            raise NearfarError(f"{path}: is there, and no file; give --out the name of a csv")
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.lock = locked(self.path)
            if self.lock is None:
                raise NearfarError(f"{path}: another nearfar writes it; stop that one, or give another --out")
            self.file = os.open(self.path, os.O_RDWR | os.O_APPEND)
            self._recover()
            _sync_folder(self.path.parent)

    def append(self, rows: Sequence[Row], identity: tuple[str, str, str]) -> None:
        """Append the rows of a recording, of which ``identity`` is its name, bytes and modification time.

        Raises NearfarError where the disk is full; the file is then as it was.
        """
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = [now, *identity, str(len(rows)), self.model]
        cells = [[*map(_cell, (row.values() | {"reasons": words(row)}).values()), *about] for row in rows]
        self._write("".join(map(_line, cells)))
        self._note([dict(zip(COLUMNS, row, strict=True)) for row in cells])

    def close(self) -> None:
        """Give the file to others."""
        os.close(self.file)
        os.close(self.lock)

    def _recover(self) -> None:
        """Read what is there, and cut off what a kill left incomplete."""
        with open(self.path, "rb") as file:
            lines = file.read().splitlines(keepends=True)
        header, whole, group = _line(COLUMNS).encode(), 0, []
        if lines and lines[0] != header and not header.startswith(b"".join(lines)):
            raise NearfarError(f"{self.path}: is there, and no csv of nearfar score --out; give another file")
        for line in lines[1:]:
            row = self._row(line)
            if row is None:
                break
            group.append(row)
            if len(group) == int(row["windows"]):
                self._note(group)
                whole, group = whole + len(group), []
        end = sum(map(len, lines[: 1 + whole])) if lines and lines[0] == header else 0
        os.ftruncate(self.file, end)
        if not end:
            self._write(header.decode())

    def _row(self, line):
        """Return the row that a line says, None where it is the incomplete last one."""
        if not line.endswith(b"\n"):
            return None
        values = next(csv.reader([line.decode()]), [])
        row = dict(zip(COLUMNS, values, strict=False))
        if len(values) != len(COLUMNS) or not row["windows"].isdigit():
            raise NearfarError(f"{self.path}: holds the line {line[:60]!r}, none of nearfar's; give another file")
        return row

    def _note(self, rows):
        self.known.add(tuple(rows[0][name] for name in ("recording", "bytes", "modified")))
        for row in rows:
            if row["model"] == self.model and row["p"]:
                self.p_values[row["machine"]].append(float(row["p"]))

    def _write(self, text: str) -> None:
        data, before = text.encode(), os.fstat(self.file).st_size
        try:
            with writing(self.path):
                while data:
                    data = data[os.write(self.file, data) :]
                os.fsync(self.file)
        except SetupError:
            os.ftruncate(self.file, before)
            raise


def identity(path: str | Path, name: str) -> tuple[str, str, str]:
    """Return what tells a recording from another of its name: that, its bytes and when it was modified, in seconds."""
    found = os.stat(path)
    modified = datetime.fromtimestamp(int(found.st_mtime), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return name, str(found.st_size), modified


def words(row: Row) -> str:
    """Return the reasons of a row in words: detectors and their ranks."""
    return "; ".join(f"{name} {rank:g}" for name, rank in row.values()["reasons"].items())


def _line(values):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def _cell(value):
    """Return a value as a cell: floats in full, so that what is read again is equal."""
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _sync_folder(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
