"""Paired bootstrap of the challenge's metric: the clips of each machine, domain and condition are drawn anew.

Every system sees the same draws, so that differences between systems are paired, and a machine's draws depend on its
name and the seed alone, so that they do not depend on what else is compared.
"""

from collections.abc import Iterable

import numpy as np

from nearfar.seeds import seed_for
from nearfar.systems.metrics import section_metrics
from nearfar.systems.sections import Section


def draws(anomalous: np.ndarray, target: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Return how often each clip is drawn, (1 + resamples, clips) float64; the first row is the sample itself.

    anomalous, target: (clips,) booleans. Stratified: as many clips of each of the four cells as there are, in those of
    an absent domain none.
    """
    rng = np.random.default_rng(seed)
    counts = np.ones((1 + resamples, len(anomalous)))
    for cell in (anomalous & target, anomalous & ~target, ~anomalous & target, ~anomalous & ~target):
        if size := cell.sum():
            counts[1:, cell] = rng.multinomial(size, np.full(size, 1 / size), resamples)
    return counts


def resample(sections: Iterable[Section], *, seed: int, resamples: int) -> np.ndarray:
    """Return the METRICS of a system under each draw, (1 + resamples, sections, 5); NaN for an absent domain's."""
    return np.stack([_resampled(part, seed, resamples) for part in sections], axis=1)


def _resampled(part, seed, resamples):
    own_seed = seed_for(seed, part.machine, part.section, "bootstrap")
    counts = draws(part.anomalous, part.target, own_seed, resamples)
    return section_metrics(part.score, part.anomalous, part.target, counts)


def redraw_sections(values: np.ndarray, *, seed: int) -> np.ndarray:
    """Return ``values`` with the sections drawn anew as well, but for the first row: what other machines might give."""
    count = values.shape[1]
    rng = np.random.default_rng(seed_for(seed, count, "sections"))
    chosen = rng.integers(count, size=values.shape[:2])
    chosen[0] = np.arange(count)
    return np.take_along_axis(values, chosen[:, :, None], axis=1)


def interval(draws: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Return (low, high) of the draws (1 + resamples, …), whose first row is the sample itself: the percentiles."""
    return np.quantile(draws[1:], [(1 - level) / 2, (1 + level) / 2], axis=0)
