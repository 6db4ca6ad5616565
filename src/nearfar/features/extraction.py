"""Features that need no training: one clip at a time from disk to a feature file."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nearfar.data.clips import read_clips
from nearfar.data.places import read_place
from nearfar.data.signals import channels_of
from nearfar.errors import NearfarError, error_prefix
from nearfar.features.files import renew
from nearfar.jobs.progress import bar


def extract_machine(
    clips: Sequence[str], path: str | Path, *, feature: str, channel: str, params: dict[str, Any], made: str
) -> None:
    """Write the vectors of all clips of a machine: ``nearfar/features/<feature>.py`` applied to each.

    clips: paths of the clip tables; made: see renew. Raises NearfarError for an unreadable or silent clip and a vector
    that is not finite.
    """
    extract = importlib.import_module(f"nearfar.features.{feature}").extractor(**params)
    needed = channels_of([channel])

    def compute(chosen):
        for place in bar(chosen["place"], feature):
            wave = read_place(place, needed)
            with error_prefix(place):
                vector = extract(wave, channel)
            if not abs(vector).sum() < float("inf"):
                raise NearfarError(f"{place}: its {feature} is not finite; check the recording")
            yield [vector]

    renew(read_clips(clips), {channel: path}, made, compute)
