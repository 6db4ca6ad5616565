"""Features that need no training: one clip at a time from disk to a feature file."""

import importlib
from pathlib import Path
from typing import Any

from nearfar.data.audio import read_clip
from nearfar.data.clips import read_clips
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import write_vectors
from nearfar.jobs.progress import bar


def extract_machine(clips: str | Path, path: str | Path, *, feature: str, channel: str, params: dict[str, Any]) -> None:
    """Write the vectors of all clips of a machine: ``nearfar/features/<feature>.py`` applied to each.

    clips: path of the clip table. Raises NearfarError for an unreadable or silent clip and a vector that is not finite.
    """
    extract = importlib.import_module(f"nearfar.features.{feature}").extractor(**params)
    table, vectors = read_clips(clips), []
    for place in bar(table["path"], feature):
        wave = read_clip(place)
        with error_prefix(place):
            vectors.append(extract(wave, channel))
        if not abs(vectors[-1]).sum() < float("inf"):
            raise NearfarError(f"{place}: its {feature} is not finite; check the recording")
    write_vectors(path, table["file"], vectors)
