"""Paired bootstrap of the challenge's metric: the clips of each machine, domain and condition are drawn anew.

Every system sees the same draws, so that differences between systems are paired, and a machine's draws depend on its
name and the seed alone, so that they do not depend on what else is compared.
"""

import numpy as np

from nearfar.seeds import seed_for
from nearfar.systems.metrics import EPS

METRICS = ("auc_source", "auc_target", "pauc", "auc_source_own", "auc_target_own")
OMEGA = {"omega": [0, 1, 2], "omega_own": [3, 4, 2]}


def draws(anomalous, target, seed, resamples):
    """Return how often each clip is drawn, (1 + resamples, clips) float64; the first row is the sample itself.

    anomalous, target: (clips,) booleans. Stratified: as many clips of each of the four cells as there are.
    """
    rng = np.random.default_rng(seed)
    counts = np.ones((1 + resamples, len(anomalous)))
    for cell in (anomalous & target, anomalous & ~target, ~anomalous & target, ~anomalous & ~target):
        size = cell.sum()
        counts[1:, cell] = rng.multinomial(size, np.full(size, 1 / size), resamples)
    return counts


def metrics_of(scores, anomalous, target, counts):
    """Return the METRICS of one section under each draw, (draws, 5) fractions.

    scores, anomalous, target: (clips,); counts: (draws, clips) from ``draws``.
    """
    above = scores[None, anomalous] - scores[~anomalous, None]
    wins = np.where(above > 0, 1.0, np.where(above == 0, 0.5, 0.0))
    normals, anomalies = counts[:, ~anomalous], counts[:, anomalous]
    target_normal, target_anomaly = target[~anomalous], target[anomalous]

    def auc(negatives, positives):
        won = normals[:, negatives] @ wins[np.ix_(negatives, positives)]
        pairs = normals[:, negatives].sum(axis=1) * anomalies[:, positives].sum(axis=1)
        return (won * anomalies[:, positives]).sum(axis=1) / pairs

    every = np.ones(anomalous.sum(), bool)
    official = [auc(~target_normal, every), auc(target_normal, every)]
    own = [auc(~target_normal, ~target_anomaly), auc(target_normal, target_anomaly)]
    return np.stack([*official, pauc(scores, anomalous, counts), *own], axis=1)


def pauc(scores, anomalous, counts, max_fpr=0.1):
    """Return metrics.pauc under each draw, (draws,): the area below ``max_fpr``, standardised after McClish."""
    starts = np.flatnonzero(np.diff(-np.sort(-scores), prepend=np.inf))  # equal scores are one step of the curve
    order = np.argsort(-scores, kind="stable")
    fpr, tpr = (_curve(counts[:, order] * kind[order], starts) for kind in (~anomalous, anomalous))
    x = np.minimum(fpr, max_fpr)
    width, run = np.diff(x), np.diff(fpr)
    share = np.divide(width, run, out=np.ones_like(width), where=run > 0)
    area = (width * (tpr[:, :-1] + share * np.diff(tpr) / 2)).sum(axis=1)
    least = max_fpr**2 / 2
    return 0.5 * (1 + (area - least) / (max_fpr - least))


def _curve(counts, starts):
    """Cumulative share of the draws (draws, clips) at the end of each run of equal scores, with a leading 0."""
    steps = np.add.reduceat(counts, starts, axis=1).cumsum(axis=1)
    return np.concatenate([np.zeros((len(steps), 1)), steps / steps[:, -1:]], axis=1)


def resample(sections, *, seed, resamples):
    """Return the METRICS of a system under each draw, (1 + resamples, sections, 5).

    sections: as evaluation.evaluate takes them, with ``file`` (clips,); clips are put in the order of their names.
    """
    return np.stack([_section(part, seed, resamples) for part in sections], axis=1)


def _section(part, seed, resamples):
    order = np.argsort(part["file"].astype(str))
    anomalous, target = part["label"][order] == "anomaly", part["domain"][order] == "target"
    counts = draws(anomalous, target, seed_for(seed, part["machine"], part["section"], "bootstrap"), resamples)
    return metrics_of(part["scores"][order], anomalous, target, counts)


def omegas(values, kind="omega"):
    """Return Ω, the harmonic mean over sections and three metrics, of ``values`` (draws, sections, 5): (draws,)."""
    return 1 / np.mean(1 / np.maximum(values[:, :, OMEGA[kind]], EPS), axis=(1, 2))


def redraw_sections(values, *, seed):
    """Return ``values`` with the sections drawn anew as well, but for the first row: what other machines might give."""
    count = values.shape[1]
    rng = np.random.default_rng(seed_for(seed, count, "sections"))
    chosen = rng.integers(count, size=values.shape[:2])
    chosen[0] = np.arange(count)
    return np.take_along_axis(values, chosen[:, :, None], axis=1)


def interval(draws, level=0.95):
    """Return (low, high) of the draws (1 + resamples, …), whose first row is the sample itself: the percentiles."""
    return np.quantile(draws[1:], [(1 - level) / 2, (1 + level) / 2], axis=0)
