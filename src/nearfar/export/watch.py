"""Scoring what arrives in a folder: each recording once, whatever happens to the process."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from nearfar.data.recordings import probe
from nearfar.errors import NearfarError, one_line
from nearfar.export.clips import Row, audio_below, score_file
from nearfar.export.journal import Journal, identity
from nearfar.export.model import Model
from nearfar.jobs.locks import locked

POLL = 1.0  # seconds between two looks; a file that is as it was at the last one has arrived
PATIENCE = 60.0  # seconds in which a file that cannot be read may still be on its way


class Watcher:
    """Looks into a folder, at any depth, and scores what has arrived into a journal.

    A recording is known by its name below the folder, its bytes and its time: one that is replaced is another.
    Raises NearfarError for no folder, and where another watcher has it.
    """

    def __init__(self, folder: str | Path, model: Model, journal: Journal, machine: str | None = None) -> None:
        if not os.path.isdir(folder):
            raise NearfarError(f"{folder}: no such folder; give the one that recordings arrive in")
        self.lock = locked(folder)  # of the folder itself: nothing is left in it
        if self.lock is None:
            raise NearfarError(f"{folder}: another nearfar watches it; stop that one")
        self.folder, self.model, self.journal, self.machine = Path(folder), model, journal, machine
        self.waiting = {}  # from (path, name) to its size and time, and since when they are so

    def look(self) -> Iterator[list[Row]]:
        """Score what has arrived since the last look, the oldest first; yield the rows of each recording.

        They are in the journal by then. Raises NearfarError where the journal cannot be written, the model is damaged
        or the folder is gone.
        """
        if not self.folder.is_dir():
            raise NearfarError(f"{self.folder}: is gone; put it back and watch it again, nothing is scored twice")
        before, now = self.waiting, time.monotonic()
        seen = self._seen()
        before = {one: before[one] for one in before.keys() & seen.keys() if before[one][0] == seen[one]}
        self.waiting = {one: (state, now) for one, state in seen.items()} | before
        arrived = [one for one in self.waiting if one in before]
        for path, name in sorted(arrived, key=lambda one: (self.waiting[one][0][1], one)):
            state, since = self.waiting[path, name]
            try:
                if now - since < PATIENCE and not _whole(path):
                    continue
                rows = score_file(self.model, path, self.machine, name)
                if _state(path) != state:  # it goes on
                    del self.waiting[path, name]
                    continue
                self.journal.append(rows, identity(path, name))
            except FileNotFoundError:  # taken away
                continue
            del self.waiting[path, name]
            yield rows

    def run(self) -> Iterator[list[Row]]:
        """Look for ever; yield the rows of each recording."""
        while True:
            yield from self.look()
            time.sleep(POLL)

    def close(self) -> None:
        """Give the folder to others."""
        os.close(self.lock)

    def _seen(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return (path, name) of what is in the folder and has no row yet, and its size and time."""
        seen = {}
        for path in audio_below(self.folder):
            name = one_line(os.path.relpath(path, self.folder), most=1 << 16)
            try:
                if identity(path, name) not in self.journal.known:
                    seen[path, name] = _state(path)
            except OSError:  # taken away
                continue
        return seen


def _whole(path):
    """Return whether a recording can be read; one that cannot may still be written."""
    try:
        probe(path)
    except NearfarError:
        return False
    return True


def _state(path):
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns
