"""What each detector says of a clip on the scale of the normal clips, and which of them drive the system's score."""

from pathlib import Path
from typing import Any

import numpy as np

from nearfar.systems.fusion import COMBINED, train_ranks, weighted
from nearfar.systems.sections import read_scores

MEDIAN = 0.5  # the rank of a normal clip that is like half of the others


def ranks_of(normalized: dict[str, str | Path], files: np.ndarray) -> dict[str, np.ndarray]:
    """Return each detector's ranks of the test clips ``files`` among its training scores, dict from name to (clips,).

    normalized: dict from detector to the path of its normalized scores. 1 is the highest of the training clips.
    """
    found = {}
    for name, path in normalized.items():
        table = read_scores(path)
        training = table["score"][table["split"] == "train"]
        place = {file: i for i, file in enumerate(table["file"])}
        found[name] = train_ranks(table["score"][[place[file] for file in files]], training)
    return found


def drops(ranks: dict[str, float], system: dict[str, Any]) -> dict[str, float]:
    """Return how far a clip's level falls where one detector finds it as usual as the median normal clip.

    ranks: dict from detector to the clip's rank; system: weights, or families and combine, as they were fused. A dict
    from each detector that counts in the system to the difference.
    """
    names = system.get("weights") or [name for family in system["families"].values() for name in family]
    whole = _level(ranks, system)
    return {name: float(whole - _level(ranks | {name: MEDIAN}, system)) for name in names}


def _level(ranks, system):
    if "weights" in system:
        return weighted(ranks, system["weights"])
    families = [np.mean([ranks[name] for name in family], keepdims=True) for family in system["families"].values()]
    return COMBINED[system["combine"]](np.stack(families))[0]
