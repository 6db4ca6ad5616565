"""Rank fusion of detectors into a system, and its decision (§3.4, Eq. 1)."""

from typing import NamedTuple

import numpy as np

from nearfar.errors import one_of

SHARPNESS = 3  # of the soft maximum
LEAST_P = 100  # one over the p-value of the largest training score


class Fused(NamedTuple):
    """A system's scores on one machine.

    score: of the test clips (m,), what the paper orders them by; level: of the test clips (m,), on the scale of
    ``training`` (n,), the training clips' own; threshold: on that scale, above which a clip is anomalous.
    """

    score: np.ndarray
    level: np.ndarray
    training: np.ndarray
    threshold: np.float64

    @property
    def decision(self) -> np.ndarray:
        """The decisions (m,) of 0 | 1."""
        return (self.level > self.threshold).astype(np.int8)


def test_ranks(scores: np.ndarray) -> np.ndarray:
    """Return the ranks in (0, 1] of the scores (clips,) within their own set; equal scores share their mean rank."""
    ordered = np.sort(scores)
    below, upto = np.searchsorted(ordered, scores, "left"), np.searchsorted(ordered, scores, "right")
    return (below + upto + 1) / (2 * len(scores))


def train_ranks(scores: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return the ranks of ``scores`` among the cross-fitted ``training`` scores.

    The interpolated distribution function of the training scores, 0 at the smallest and 1 at the largest, with
    logarithmic tails beyond: strictly increasing everywhere, since the anomalies live beyond the largest.
    """
    ordered, values = np.sort(training), np.unique(training)
    middle = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") - 1
    inside = np.interp(scores, values, middle / (2 * max(len(ordered) - 1, 1)))
    return inside + _tail(scores - ordered[-1], training) - _tail(ordered[0] - scores, training)


def own_ranks(training: np.ndarray) -> np.ndarray:
    """Return the ranks of the ``training`` scores (n,), each by ``train_ranks`` among the others.

    A normal clip that is new may be beyond all of them, so a training clip must be able to be, too: ranked among all,
    itself included, it has 1 at most, and of detectors that are fused more than α of the new ones get p ≤ α.
    """
    values, place, counts = np.unique(training, return_inverse=True, return_counts=True)
    if len(values) == 1:
        return np.full(len(training), 0.5)
    middle = np.cumsum(counts) - (counts + 1) / 2  # of all clips; those above one lose half a place or one without it
    low, high = np.r_[values[:1], values[:-1]], np.r_[values[1:], values[-1:]]  # the neighbours of each value
    start, end = np.r_[middle[1] - 1, middle[:-1]], np.r_[middle[1:] - 1, middle[-2]]
    alone = start + (end - start) * (values - low) / (high - low)
    ranks = np.where(counts > 1, middle - 0.5, alone) / max(len(training) - 2, 1)
    for outer, inner, sign in ((0, 1, -1), (-1, -2, 1)):
        if counts[outer] == 1:
            others = training[training != values[outer]]
            ranks[outer] += sign * _tail(abs(values[outer] - values[inner]), others)
    return ranks[place]


def _tail(distance, training):
    """Return what a rank has beyond the outermost of the training scores, so far from it."""
    return np.log1p(np.maximum(distance, 0) / max(training.std(), 1e-12))


def fuse(
    train: dict[str, np.ndarray],
    test: dict[str, np.ndarray],
    weights: dict[str, float],
    *,
    ranks: str,
    percentile: float,
) -> Fused:
    """Return the weighted sums of the detectors' ranks.

    train, test: dict from detector to normalized scores (n,) and (m,). ranks: "test" ranks within the test set,
    the paper's; "train" against the training scores, so that one new clip can be scored. The level always is of
    ``train`` ranks, the threshold the ``percentile`` of the training clips' own.
    """
    level = weighted({name: train_ranks(test[name], train[name]) for name in weights}, weights)
    training = weighted({name: own_ranks(train[name]) for name in weights}, weights)
    score = level if ranks == "train" else weighted({name: test_ranks(test[name]) for name in weights}, weights)
    return Fused(score, level, training, np.percentile(training, percentile))


def fuse_families(
    train: dict[str, np.ndarray],
    test: dict[str, np.ndarray],
    families: dict[str, list[str]],
    *,
    combine: str,
    percentile: float,
) -> Fused:
    """Return the scores fused on the scale of the normal clips: a clip's score depends on no other clip.

    train, test: as in ``fuse``; families: dict from family to its detectors. A detector's scores become ranks among its
    cross-fitted training scores, a family's the mean of its detectors', and all families count alike: ``combine`` is a
    name in COMBINED.
    """
    combined = COMBINED[one_of("combine", combine, COMBINED)]

    def fused(ranks):
        return combined(np.stack([np.mean([ranks[name] for name in family], axis=0) for family in families.values()]))

    training = fused({name: own_ranks(scores) for name, scores in train.items()})
    level = fused({name: train_ranks(scores, train[name]) for name, scores in test.items()})
    return Fused(level, level, training, np.percentile(training, percentile))


def soft_maximum(ranks: np.ndarray) -> np.ndarray:
    """Return log mean exp(3 r) / 3 over the families (families, clips): the mean where they agree, else the largest."""
    return (np.logaddexp.reduce(SHARPNESS * ranks, axis=0) - np.log(len(ranks))) / SHARPNESS


def surprise(ranks: np.ndarray) -> np.ndarray:
    """Return the mean over the families of −log p, p being what a rank leaves: (families, clips) to (clips,).

    The largest of the training clips has p = 1 / LEAST_P; beyond it a rank's own tail goes on.
    """
    inside = np.clip(ranks, 0, 1) * (1 - 1 / LEAST_P)
    return (-np.log1p(-inside) + np.maximum(ranks - 1, 0) + np.minimum(ranks, 0)).mean(axis=0)


COMBINED = {"mean": lambda ranks: ranks.mean(axis=0), "soft_maximum": soft_maximum, "log_p": surprise}


def weighted(ranks: dict[str, np.ndarray], weights: dict[str, float]) -> np.ndarray:
    """Return the weighted sum of ``ranks``, a dict from detector to (clips,), always in the same order (Eq. 1)."""
    return sum(weight * ranks[name] for name, weight in sorted(weights.items()))
