"""Alarms that keep a rate: conformal p-values, and the threshold that a rate of false alarms amounts to."""

import numpy as np

ROUNDING = 1 + 1e-12  # of rates that are fractions of a number of clips


def p_values(scores: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return the conformal p-value (clips,) of scores (clips,) among the scores (n,) of normal clips.

    p = (1 + #{training ≥ score}) / (n + 1), ties counted against an alarm (Vovk, Gammerman and Shafer 2005, ch. 2;
    Bates et al. 2023 for detection). A normal clip that is exchangeable with the training clips has p ≤ α with
    probability α at most; the smallest there can be is 1 / (n + 1).
    """
    ordered = np.sort(training)
    return (1 + len(ordered) - np.searchsorted(ordered, scores, "left")) / (len(ordered) + 1)


def rate_of(p: np.ndarray, *, percentile: float, false_alarm: float | None, fdr: float | None) -> float | None:
    """Return the highest p-value that is an alarm among those (m,) judged together; None where a percentile decides.

    fdr: the highest share of normal clips that is expected among the alarms (Benjamini and Hochberg 1995), which goes
    before false_alarm, the highest rate at which normal clips may be alarms.
    """
    if fdr is None:
        return false_alarm
    ordered = np.sort(p)
    passing = np.flatnonzero(ordered <= fdr * np.arange(1, len(p) + 1) / len(p) * ROUNDING)
    return float(ordered[passing[-1]]) if len(passing) else 0.0


def threshold_at(rate: float | None, training: np.ndarray, percentile: float) -> float:
    """Return the score above which a clip is an alarm: where its p-value among ``training`` (n,) is ``rate`` or less.

    Infinite where n clips are too few to tell so rare a score; with None the paper's percentile of the training scores
    (§3.4).
    """
    if rate is None:
        return float(np.percentile(training, percentile))
    allowed = int(np.floor(rate * (len(training) + 1) * ROUNDING)) - 1  # training scores at or above that of an alarm
    return float(np.sort(training)[::-1][min(allowed, len(training) - 1)]) if allowed >= 0 else np.inf


def threshold(training: np.ndarray, scores: np.ndarray, **decision: float | None) -> float:
    """Return the score above which one of the ``scores`` (m,), judged together, is an alarm.

    training: (n,) scores of normal clips; decision: percentile, false_alarm and fdr, as ``rate_of`` takes them.
    """
    return threshold_at(rate_of(p_values(scores, training), **decision), training, decision["percentile"])
