"""The clip table of somebody's own recordings: whole ones, or the windows of long ones."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from nearfar.data.audio import RATE
from nearfar.data.channels import doubts
from nearfar.data.clips import HARMLESS, gathered, table_of, warn
from nearfar.data.dataset import FLOOR
from nearfar.data.places import PART, place_of
from nearfar.data.recordings import Heard, Recording, probe, scan, windows
from nearfar.data.skipped import window_name
from nearfar.data.tables import Entry
from nearfar.errors import NearfarError
from nearfar.jobs.digests import digest, together
from nearfar.jobs.progress import bar

SHOWN = 5  # faults that an error names, the same of many recordings counting once

Fault = tuple[str, str]  # the recording, or a window of it, and why it is left out


class Cut(NamedTuple):
    """How recordings become clips: the channels of near and far (None: one microphone), and windows in seconds."""

    near: int
    far: int | None
    window: float | None
    hop: float | None


def own_table(machine: str, entries: Sequence[Entry], split: str, cut: Cut, *, skip: bool) -> pa.Table:
    """Return the clip table of a machine's recordings of one split, and warn of what is doubtful.

    Columns as nearfar.data.clips.clip_table has them; the key ``file`` is the recording and, of a window, its start.
    What cannot be used is left out and stands with its reason and, unless it is a window, its path in the table's
    metadata, ``skipped``, or, without ``skip``, is one NearfarError. Raises NearfarError where too few clips are left
    to learn from, or none to be judged.
    """
    rows, heard, faults, made = [], {}, [], []
    for entry in bar(entries, "clips"):
        try:
            made.append(probe(entry.path))
            found = cut_clips(entry, cut, faults)
        except NearfarError as error:
            faults.append((entry.recording, _reason(error, entry)))
            continue
        rows += [row for row, _ in found]
        heard |= {row["place"]: one for row, one in found}
    if faults and not skip:
        raise NearfarError(f"{machine}: {_listed(faults)}")
    _refuse_few(machine, split, rows, faults)
    warn([*_doubtful(heard), *_mixed(machine, made), *((name, f"left out: {reason}") for name, reason in faults)])
    paths = {entry.recording: entry.path for entry in entries}
    about = {"skipped": json.dumps([[name, reason, paths.get(name)] for name, reason in faults])}
    return table_of(sorted(rows, key=lambda row: row["file"])).replace_schema_metadata(about)


def cut_clips(entry: Entry, cut: Cut, faults: list[Fault]) -> list[tuple[dict, Heard]]:
    """Return a row of the clip table, and what is heard, of each clip of a recording; add unfit windows to ``faults``.

    Raises NearfarError for a recording that cannot be used, for a long one where there is no window, and where all
    windows are unfit.
    """
    info, content = probe(entry.path), digest(entry.path)
    length = info.resampled / RATE
    if cut.window is None and length > HARMLESS:
        raise NearfarError(f"lasts {length:g} s, more than a clip's {HARMLESS:g} s; cut it by data: {{window: 10.0}}")
    starts = [0.0] if cut.window is None else windows(length, cut.window, cut.hop or cut.window)
    found, unfit = [], []
    for start in starts:
        name = entry.recording if cut.window is None else window_name(entry.recording, start)
        place = place_of(entry.path, cut.near, cut.far, start, cut.window or length)
        try:
            heard = scan(Recording(entry.path, cut.near, cut.far), start, cut.window or length)
        except NearfarError as error:
            unfit.append((name, _reason(error, entry)))
            continue
        row = entry._asdict() | {"file": name, "place": place, "start": start, "frames": heard.frames}
        found.append((row | {"content": together([content, place.removeprefix(entry.path)])}, heard))
    if not found:
        raise NearfarError(unfit[0][1])
    faults += unfit
    return found


def _reason(error, entry):
    return str(error).removeprefix(f"{entry.path}: ")


def _listed(faults):
    lines = gathered(faults)
    more = f" (and {len(lines) - SHOWN} more)" if len(lines) > SHOWN else ""
    return "; ".join(lines[:SHOWN]) + more


def _refuse_few(machine, split, rows, faults):
    """Raise NearfarError where a split has too few clips, naming what was left out."""
    least, what = (FLOOR, "training clips") if split == "train" else (1, "clips to be judged")
    if len(rows) < least:
        left_out = f"; left out: {_listed(faults)}" if faults else ""
        raise NearfarError(f"{machine}: {len(rows)} {what}, at least {least} are needed; add some{left_out}")


def _doubtful(heard):
    """Yield (place, doubt) pairs: what each clip gave rise to, and what is told by comparison."""
    for place, one in heard.items():
        yield from ((PART.fullmatch(place)[1], doubt) for doubt in one.warnings)
    yield from doubts(heard)


def _mixed(machine, made):
    """Yield (machine, doubt) pairs where the recordings, of which ``made`` are the Info, are not all made alike."""
    for values, of in (({one.rate for one in made}, "Hz"), ({one.channels for one in made}, "channels")):
        if len(values) > 1:
            listed = " and ".join(map(str, sorted(values)))
            yield machine, f"recorded with {listed} {of}: what only some hold may be taken for a difference"
