"""Folds of training clips: a clip is scored by what has not seen it, nor its neighbours in time."""

from collections import defaultdict

import numpy as np

from nearfar.data.domains import present
from nearfar.errors import NearfarError
from nearfar.seeds import fraction


def fold_of(
    files: np.ndarray, domain: np.ndarray, recording: np.ndarray, folds: int, seed: int, few: str = "refuse"
) -> np.ndarray:
    """Return the fold (clips,) of each training clip, dealt within its domain.

    recording: (clips,), of what each clip is a window; a recording's files sort in order of time. A fold takes whole
    recordings, or blocks of successive windows, see ``blocks``: the longest first, those as long as each other in the
    order of their first file's hash, each to the fold with the fewest clips. Whole clips are so dealt in turn.
    few: "refuse" raises NearfarError where a domain has fewer clips than there are folds; "cap" deals what there is, so
    that some folds hold none of it out.
    """
    fold = np.zeros(len(files), int)
    for d in present(domain):
        members = np.flatnonzero(np.asarray(domain) == d)
        if few == "refuse" and len(members) < max(folds, 2):
            raise NearfarError(
                f"folds: {folds} folds need as many {d}-domain training clips, there are {len(members)}; "
                f"lower folds or add clips"
            )
        held, dealt = np.zeros(folds, int), blocks(members, files, recording, folds)
        for block in sorted(dealt, key=lambda rows: (-len(rows), fraction(seed, files[rows[0]]))):
            k = held.argmin()  # the first of those that have as few
            fold[block] = k
            held[k] += len(block)
    return fold


def is_cut(recording: np.ndarray) -> bool:
    """Return whether some of the clips are windows of one recording. recording: (clips,)."""
    return len(set(recording)) < len(recording)


def blocks(members: np.ndarray, files: np.ndarray, recording: np.ndarray, folds: int) -> list[np.ndarray]:
    """Return the rows of a domain's clips, ``members``, in the parts that are held out together, each in time's order.

    A part is a recording. Where there are fewer recordings than folds each is cut into as many blocks as there are
    folds, and so is one that holds more than half of the clips: the rest would tell little of it.
    """
    of = defaultdict(list)
    for row in sorted(members, key=lambda row: files[row]):
        of[recording[row]].append(row)
    found = []
    for rows in of.values():
        cut = len(of) < folds or 2 * len(rows) > len(members)
        found += np.array_split(rows, min(folds, len(rows))) if cut else [np.array(rows)]
    return found
