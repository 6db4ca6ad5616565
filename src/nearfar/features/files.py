"""Feature files that are renewed: a clip whose file, settings and code are as they were is not computed again.

A new test clip so costs what it costs by itself. Only the clips differ between a file that was renewed and one that was
made at once: its bytes are the same, since no clip's vector depends on the others (tests/unit/features).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from nearfar.jobs.files import read_parquet, read_vectors, write_vectors

Clips = dict[str, np.ndarray]  # a clip table, or some of its rows


def renew(
    clips: Clips, paths: Mapping[str, str | Path], made: str, compute: Callable[[Clips], Iterable[Sequence[np.ndarray]]]
) -> None:
    """Write the feature files of a machine's clips: a dict from the name of each to its path, for one pass over clips.

    made: what stands for settings, models and code; a file that was made otherwise is made anew. compute: takes the
    rows of the clip table that are in one of the files not yet, and yields for each the vectors of all files in order.
    """
    known = {name: kept(path, made) for name, path in paths.items()}
    keys = list(zip(clips["file"], clips["content"], strict=True))
    lacking = np.array([row for row, key in enumerate(keys) if not all(key in old for old in known.values())], int)
    fresh = compute({name: column[lacking] for name, column in clips.items()}) if len(lacking) else ()
    for row, vectors in zip(lacking, fresh, strict=True):
        for old, vector in zip(known.values(), vectors, strict=True):
            old[keys[row]] = vector
    for name, path in paths.items():
        vectors = [known[name][key] for key in keys]
        write_vectors(path, clips["file"], vectors, contents=clips["content"], made=made)


def kept(path: str | Path, made: str) -> dict[tuple[str, str], np.ndarray]:
    """Return a dict from (file, content) to vector of a feature file, empty where it was ``made`` otherwise."""
    try:
        if (pq.read_schema(path).metadata or {}).get(b"made") != made.encode():
            return {}
        files, vectors = read_vectors(path)
        contents = read_parquet(path, ["content"])["content"].to_pylist()
    except (OSError, ValueError):  # none there, or one that is damaged: it is made anew
        return {}
    return dict(zip(zip(files, contents, strict=True), vectors, strict=True))
