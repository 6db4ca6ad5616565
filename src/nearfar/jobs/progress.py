"""Progress: a bar on a terminal, lines in the log of a job, nothing elsewhere."""

import os
import sys
import time
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from nearfar.errors import NearfarError
from nearfar.jobs.files import append_text
from nearfar.jobs.job import running
from nearfar.jobs.locks import locked

EVERY = 10  # seconds between two lines of a log
LINE = "{desc}: {n_fmt}/{total_fmt}, {rate_noinv_fmt}, {elapsed} gone, {remaining} left{postfix}"


def bar(items: Iterable | None, what: str, unit: str = "clip", total: int | None = None, initial: int = 0) -> "_Bar":
    """Return ``items`` under a bar on stderr that says how many are done, how fast, and when the last will be.

    Without items (None), the bar of ``total`` of them, of which ``initial`` are done, to be moved by its ``update``.
    The unit B is bytes, shown as kB, MB and GB. In a job the same goes to its log, a line every ten seconds and one at
    the end. Of several processes on one terminal one draws, under its job's name, as they would overwrite each other.
    """
    terminal = sys.stderr.isatty()
    return _Bar(
        items,
        desc=what,
        unit=unit,
        unit_scale=unit == "B",
        total=total,
        initial=initial,
        disable=not terminal and not running,
        mininterval=0.5,
        miniters=1,
        leave=False,
        dynamic_ncols=terminal,
    )


class _Bar(tqdm):
    terminal = None  # the descriptor that is locked while this bar is drawn
    told = None  # how many were done at the log's last line
    monitor_interval = 0  # no thread that looks after slow bars: with miniters=1 each update looks at the clock

    def __init__(self, *items: Iterable | None, **settings: Any):
        self.said = time.monotonic()
        super().__init__(*items, **settings)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Draw, or clear with "" for ``msg``; write to the log where its last line is old enough."""
        if msg is None and time.monotonic() - self.said >= EVERY:
            self.say()
        return self.drawn() and super().display(msg, pos)

    def say(self) -> None:
        """Append a line to the log of the job that runs, where one does; the rate is the mean so far."""
        self.said, self.told = time.monotonic(), self.n
        if running:
            line = self.format_meter(**self.format_dict | {"bar_format": LINE, "rate": None, "ncols": None})
            append_text(running["log"], " ".join(line.split()) + "\n")

    def drawn(self) -> bool:
        """Return whether stderr is a terminal that no other process draws on, and keep the others from it."""
        if self.terminal is None and sys.stderr.isatty():
            try:
                self.terminal = locked(os.ttyname(sys.stderr.fileno()))
            except (OSError, NearfarError):  # without a name, in some containers, or another user's, under su
                return True  # drawn on all the same
        return self.terminal is not None

    def __str__(self) -> str:
        """Return what is drawn, under the name of the job."""
        return self.format_meter(**self.format_dict | {"prefix": running.get("name", self.desc)})

    def close(self) -> None:
        """Write the last line, clear the bar, and leave the terminal to others."""
        if not self.disable and self.told != self.n:
            self.say()
        super().close()
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None
