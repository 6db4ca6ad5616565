"""From files to rows: what an exported system says of each recording, or of each window of it."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nearfar.data.audio import RATE
from nearfar.data.dataset import AUDIO
from nearfar.data.recordings import Recording, probe, read_window, windows
from nearfar.errors import NearfarError, one_line
from nearfar.export.model import Model, Scored
from nearfar.systems.tables import NOT_SCORED

REASONS = 3  # detectors that a row names


class Row(NamedTuple):
    """A line of a result: a clip, what the system says of it, or, where that is nothing, the reason as its note.

    start: seconds into the recording, None of a whole one.
    """

    clip: str
    start: float | None
    machine: str
    scored: Scored | None
    note: str

    @property
    def decision(self) -> str:
        """The decision, "anomaly", "normal" or "not scored"."""
        return self.scored.decision if self.scored else NOT_SCORED

    def values(self) -> dict[str, str | float | dict[str, float] | None]:
        """Return what is told of the clip, by the names of the columns; None of what there is not."""
        score, threshold, p = self.scored[1:4] if self.scored else (None, None, None)
        ranks = dict(self.scored.ranks[:REASONS]) if self.scored else {}
        threshold = None if threshold == np.inf else threshold  # of a rate that so few training clips cannot show
        told = {"clip": self.clip, "start": self.start, "machine": self.machine, "score": score}
        told |= {"threshold": threshold, "decision": self.decision, "p": p}
        return told | {"reasons": {name: round(rank, 3) for name, rank in ranks.items()}, "note": self.note}


def recordings_in(given: Iterable[str]) -> Iterator[str]:
    """Yield the paths of recordings: files, all in folders, at any depth, and "-" for paths on stdin, a line each.

    Raises NearfarError for a folder without a recording.
    """
    for place in given:
        if place == "-":
            yield from recordings_in(line for line in map(str.strip, sys.stdin) if line and line != "-")
        elif os.path.isdir(place):
            found = sorted(audio_below(place))
            if not found:
                raise NearfarError(f"{place}: no recording in it; give a folder with {', '.join(sorted(AUDIO))} files")
            yield from found
        else:
            yield place


def audio_below(folder: str | Path) -> Iterator[str]:
    """Yield the path of each recording below a folder; hidden files and folders are passed over."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        wanted = (name for name in files if not name.startswith(".") and Path(name).suffix.lower() in AUDIO)
        yield from (os.path.join(place, name) for name in wanted)


def score_file(model: Model, path: str | Path, machine: str | None = None, name: str | None = None) -> list[Row]:
    """Return a row of a recording, or of each of its windows where the system is one of windows.

    machine: whose recording it is, by default the only one, or the one after which its folder is named; name: what the
    rows call it, by default its path. What cannot be scored is a row with its reason; raises NearfarError where it is
    the model that is damaged.
    """
    name = one_line(str(path) if name is None else name, most=1 << 16)
    known = machine or ""
    try:
        known = model.machine_of(machine or folder_machine(path, model.machines))
        starts = _starts(model, path)
    except NearfarError as error:
        return [Row(name, None, known, None, _reason(error, path))]
    model.read(known)  # what is wrong with the model is no fault of the recording's
    return [_score_window(model, path, known, name, start) for start in starts]


def _starts(model, path):
    """Return the starts of a recording's windows, None alone where it is scored whole; raise NearfarError if unfit."""
    info = probe(path)
    model.refuse_other(info.rate, info.channels)
    window, hop = model.made_of["window"], model.made_of["hop"]
    _refuse_long(model, window or info.seconds)
    return [None] if window is None else windows(info.resampled / RATE, window, hop or window)


def _score_window(model, path, machine, name, start):
    clip = name if start is None else f"{name}@{start:010.3f}"
    recording = Recording(path, model.made_of["near"], model.made_of["far"])
    try:
        wave = read_window(recording, start or 0.0, model.made_of["window"])
        return Row(clip, start, machine, model.score_heard(wave, machine, str(path)), "")
    except NearfarError as error:
        return Row(clip, start, machine, None, _reason(error, path))


def folder_machine(path: str | Path, machines: list[str]) -> str | None:
    """Return the machine after which the nearest folder of a path is named, or None."""
    for folder in Path(path).absolute().parents:
        if folder.name in machines:
            return folder.name
    return None


def _refuse_long(model, seconds):
    """Raise NearfarError for a recording that memory would have to hold whole."""
    if seconds > model.made_of["longest"]:
        raise NearfarError(f"lasts {seconds:g} s, {model.made_of['longest']:g} s is the most; cut it")


def _reason(error, path):
    return str(error).removeprefix(f"{one_line(str(path))}: ")
