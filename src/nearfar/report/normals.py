"""The normal clips that the report compares with: their statistics, and which of them a clip resembles most."""

from dataclasses import dataclass

import numpy as np

from nearfar.data.places import read_place
from nearfar.report.explain import Normal, jointly, normal_statistics
from nearfar.report.views import VIEWS, maps_of

HEARD = 200  # clips of each domain that are read at most, spread evenly over the table


@dataclass(frozen=True, eq=False)
class Normals:
    """What was heard of a machine's n normal clips.

    file, domain: (n,) of text; place: (n,), what read_place reads; near: n maps (bands, windows);
    statistics: dict from view to its Normal;
    summaries: (n, 2 * bands), of each near map the mean and deviation over time, by their spread over clips, ``scale``;
    range: the levels in dB that one of a hundred near cells is below, and one of a thousand above.
    """

    file: np.ndarray
    domain: np.ndarray
    place: np.ndarray
    near: list[np.ndarray]
    statistics: dict[str, Normal]
    summaries: np.ndarray
    scale: np.ndarray
    range: tuple[float, float]

    def nearest(self, near: np.ndarray, count: int) -> np.ndarray:
        """Return the rows (count,) of the clips whose near map most resembles ``near`` (bands, windows)."""
        return np.square(self.summaries - summary(near) / self.scale).sum(axis=1).argsort(kind="stable")[:count]


def hear_normals(clips: dict[str, np.ndarray], channels: int) -> Normals:
    """Return what the normal clips of a clip table are like, of ``channels`` 1 or 2."""
    rows = _spread_evenly(clips["domain"])
    file, domain, place = (clips[name][rows] for name in ("file", "domain", "place"))
    maps = [maps_of(read_place(path, channels)) for path in place]
    views = {name: view for name, view in VIEWS.items() if name in maps[0]}
    statistics = {name: normal_statistics([one[name] for one in maps], domain, view) for name, view in views.items()}
    near = [clip["near"] for clip in maps]
    summaries = np.stack([summary(level) for level in near])
    scale = np.maximum(summaries.std(axis=0), 1e-3)
    low, high = np.percentile(np.concatenate([level.ravel() for level in near]), (1, 99.9))
    return Normals(file, domain, place, near, jointly(statistics), summaries / scale, scale, (float(low), float(high)))


def _spread_evenly(domain):
    """Return at most HEARD rows of each domain, in order."""
    rows = [np.flatnonzero(domain == name) for name in np.unique(domain.astype(str))]
    return np.sort(np.concatenate([part[:: -(-len(part) // HEARD)] for part in rows]))


def summary(near: np.ndarray) -> np.ndarray:
    """Return the mean and the deviation over time of each band of a map (bands, windows): (2 * bands,)."""
    return np.concatenate([near.mean(axis=1), near.std(axis=1)])
