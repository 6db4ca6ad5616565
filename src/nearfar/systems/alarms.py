"""Alarms that keep a rate: conformal p-values, and the threshold that a rate of false alarms amounts to."""

import numpy as np


def p_values(scores: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return the conformal p-value (clips,) of scores (clips,) among the scores (n,) of normal clips.

    p = (1 + #{training ≥ score}) / (n + 1), ties counted against an alarm (Vovk, Gammerman and Shafer 2005, ch. 2;
    Bates et al. 2023 for detection). A normal clip that is exchangeable with the training clips has p ≤ α with
    probability α at most; the smallest there can be is 1 / (n + 1).
    """
    ordered = np.sort(training)
    return (1 + len(ordered) - np.searchsorted(ordered, scores, "left")) / (len(ordered) + 1)


def threshold(
    training: np.ndarray, scores: np.ndarray, *, percentile: float, false_alarm: float | None, fdr: float | None
) -> float:
    """Return the score above which a clip is an alarm, by the first that is given of fdr, false_alarm and percentile.

    training: (n,) scores of normal clips; scores: (m,) of the clips judged together. false_alarm: the highest rate at
    which normal clips may be alarms: a clip is one where its p-value is that or less. fdr: the highest share of normal
    clips that is expected among the alarms (Benjamini and Hochberg 1995). percentile: of the training scores (the
    paper, §3.4). Infinite where n clips are too few to tell so rare a score.
    """
    if fdr is None and false_alarm is None:
        return float(np.percentile(training, percentile))
    level = false_alarm if fdr is None else _step_up(np.sort(p_values(scores, training)), fdr)
    allowed = int(np.floor(level * (len(training) + 1) * (1 + 1e-12))) - 1  # training scores at or above an alarm's
    return float(np.sort(training)[::-1][min(allowed, len(training) - 1)]) if allowed >= 0 else np.inf


def _step_up(ordered, fdr):
    """Return the highest of the p-values (m,), ascending, that is at most its rank's share of ``fdr``; 0 for none."""
    passing = np.flatnonzero(ordered <= fdr * np.arange(1, len(ordered) + 1) / len(ordered) * (1 + 1e-12))
    return float(ordered[passing[-1]]) if len(passing) else 0.0
