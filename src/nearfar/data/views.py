"""The views of a machine's clips, aligned with its clip table by file name."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nearfar.data.clips import read_clips
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_vectors


def read_views(
    clips: str | Path | Iterable[str | Path], paths: Iterable[str | Path]
) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Return the clips (dict of columns) and the views, rows in their order.

    The views are a list of (clips, dims), or (clips, folds, dims) for those with an embedding a fold.
    clips: path of a clip table, or of both splits'; paths: of the feature files. Raises NearfarError where a clip has
    no features.
    """
    table = read_clips(clips)
    return table, [_aligned(path, table["file"]) for path in paths]


def _aligned(path, files):
    known, vectors = read_vectors(path)
    row = {file: i for i, file in enumerate(known)}
    missing = [file for file in files if file not in row]
    if missing:
        raise NearfarError(f"{path}: has no features of {missing[0]} ({len(missing)} missing); delete it and run again")
    return vectors[np.array([row[file] for file in files])]
