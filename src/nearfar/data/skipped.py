"""What clip tables leave out, and why."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from nearfar.errors import one_line
from nearfar.jobs.faults import fault_of
from nearfar.jobs.files import read_parquet, write_text

WINDOW = re.compile(r"(.+)@(\d+\.\d{3})", re.DOTALL)  # as window_name writes it
COLUMNS = ("machine", "split", "recording", "start", "reason")
MOST = 10  # lines that are said of what was left out


class Skipped(NamedTuple):
    """A recording at ``path`` that is not in a clip table, or, from ``start`` (seconds) on, a window of one that is."""

    recording: str
    start: float | None
    reason: str
    path: str | None = None


def window_name(recording: str, start: float) -> str:
    """Return the key of a window in a clip table: its recording and its start in seconds; sorted, they are in time."""
    return f"{recording}@{start:010.3f}"


def skipped(table: str | Path) -> list[Skipped]:
    """Return what a clip table leaves out, as its metadata say."""
    listed = json.loads((pq.read_schema(table).metadata or {}).get(b"skipped", "[]"))
    if not listed:
        return []
    known = set(read_parquet(table, ["recording"])["recording"].to_pylist())
    return [_skipped(*one, known) for one in listed]


def _skipped(name, reason, path, known):
    window = WINDOW.fullmatch(name)
    if window and window[1] in known:
        return Skipped(window[1], float(window[2]), reason)
    return Skipped(name, None, reason, path)


def write_skipped(tables: Iterable[tuple[str, str, str | Path]], path: str | Path) -> None:
    """Write skipped.csv from (machine, split, path of the clip table): what is left out, with the reason.

    A machine that cannot be used at all has a row without recording, one for both splits where the reason is the same.
    """
    from nearfar.systems.tables import csv_table

    write_text(path, csv_table(_rows(tables), COLUMNS, decimals=3))


def left_out(tables: Iterable[tuple[str, str, str | Path]], table: str) -> list[str]:
    """Return a line on each recording and machine that was left out, the first MOST; ``table`` has them all.

    tables: as ``write_skipped`` takes them; of those that are not there nothing is said.
    """
    lines = []
    for row in _rows(one for one in tables if Path(one[2]).is_file()):
        start = "" if row["start"] is None else f" from {row['start']:g} s on"
        where = f" ({row['split']}): {row['recording']}{start}" if row["recording"] else ""
        lines.append(one_line(f"left out: {row['machine']}{where}: {row['reason']}"))
    more = len(lines) - MOST
    return lines if more <= 0 else [*lines[:MOST], f"left out: {more} more, see {table}"]


def _rows(tables):
    """Return the rows of skipped.csv as dicts."""
    rows = {}
    for machine, split, table in tables:
        for recording, start, reason, _ in _of_table(machine, table):
            row = {"machine": machine, "split": split, "recording": recording, "start": start, "reason": reason}
            rows.setdefault((machine, recording, start, reason), row)
    return list(rows.values())


def _of_table(machine, table):
    reason = fault_of(table)
    return [Skipped("", None, reason.removeprefix(f"{machine}: "))] if reason else skipped(table)
