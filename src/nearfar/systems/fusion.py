"""Rank fusion of detectors into a system, and its decision (§3.4, Eq. 1)."""

import numpy as np


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
    scale = max(training.std(), 1e-12)
    above = np.log1p(np.maximum(scores - ordered[-1], 0) / scale)
    below = np.log1p(np.maximum(ordered[0] - scores, 0) / scale)
    return inside + above - below


def fuse(
    train: dict[str, np.ndarray],
    test: dict[str, np.ndarray],
    weights: dict[str, float],
    *,
    ranks: str,
    percentile: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (fused scores of the test clips (m,), their decisions (m,) of 0 | 1, training scores (n,)).

    train, test: dict from detector to normalized scores (n,) and (m,). ranks: "test" ranks within the test set,
    the paper's; "train" against the training scores, so that one new clip can be scored. The decision always compares
    ``train`` ranks: a clip is anomalous above the ``percentile`` of the training clips' own fused score.
    """
    by_train = {name: train_ranks(test[name], train[name]) for name in weights}
    training = weighted({name: train_ranks(train[name], train[name]) for name in weights}, weights)
    against_training = weighted(by_train, weights)
    decision = (against_training > np.percentile(training, percentile)).astype(np.int8)
    if ranks == "train":
        return against_training, decision, training
    return weighted({name: test_ranks(test[name]) for name in weights}, weights), decision, training


def weighted(ranks: dict[str, np.ndarray], weights: dict[str, float]) -> np.ndarray:
    """Return the weighted sum of ``ranks``, a dict from detector to (clips,), always in the same order (Eq. 1)."""
    return sum(weight * ranks[name] for name, weight in sorted(weights.items()))
