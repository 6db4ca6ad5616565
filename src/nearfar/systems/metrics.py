"""The challenge's metric, in numpy. Every function takes scores where higher is more anomalous."""

import numpy as np

EPS = np.finfo(np.float64).eps
METRICS = ("auc_source", "auc_target", "pauc", "auc_source_own", "auc_target_own")
DECISION = ("precision", "recall", "f1")
OMEGA = {"omega": [0, 1, 2], "omega_own": [3, 4, 2]}  # the METRICS that each Ω is the harmonic mean of


def auc(
    scores: np.ndarray, anomalous: np.ndarray, counts: np.ndarray | None = None, max_fpr: float = 1.0
) -> np.ndarray:
    """Return the area under the ROC curve, (draws,), up to ``max_fpr`` standardised after McClish (1989).

    scores: (clips,); anomalous: (clips,) booleans, of both kinds; counts: (draws, clips), how often each draw has each
    clip, None for every clip once. The same as sklearn.metrics.roc_auc_score(…, max_fpr=…), which the challenge uses:
    0.5 is chance, 1 the best. Areas are summed in clips and divided once, so that equal curves have equal areas.
    """
    counts = np.ones((1, len(scores))) if counts is None else counts
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan))  # equal scores are one step of the curve
    false, true = (_steps(counts[:, order] * kind[order], ends) for kind in (~anomalous, anomalous))
    normals, anomalies = false[:, -1], true[:, -1]
    run = np.diff(false)
    width = np.diff(np.minimum(false, max_fpr * normals[:, None]))  # less than the run where max_fpr cuts it
    share = np.divide(width, run, out=np.zeros_like(run), where=run > 0)
    area = (width * (true[:, :-1] + share * np.diff(true) / 2)).sum(axis=1) / (normals * anomalies)
    if max_fpr == 1:
        return area
    least = max_fpr**2 / 2
    return 0.5 * (1 + (area - least) / (max_fpr - least))


def _steps(counts, ends):
    """Return the clips from the highest score down to each of the ``ends``, with a leading 0: (draws, 1 + ends)."""
    steps = np.zeros((len(counts), 1 + len(ends)))
    steps[:, 1:] = counts.cumsum(axis=1)[:, ends]
    return steps


def section_metrics(
    scores: np.ndarray, anomalous: np.ndarray, target: np.ndarray, counts: np.ndarray | None = None
) -> np.ndarray:
    """Return the METRICS of one section under each draw, (draws, 5) fractions.

    scores: (clips,); anomalous, target: (clips,) booleans, in each domain both kinds of clip or none, whose metrics are
    NaN then; counts: as in ``auc``.
    Official: auc_source and auc_target set a domain's normal clips against all anomalies; ``_own`` against that
    domain's anomalies alone, as the paper's table does. pauc takes both domains together, up to 0.1.
    """
    counts = np.ones((1, len(scores))) if counts is None else counts

    def among(kept, max_fpr=1.0):
        return auc(scores[kept], anomalous[kept], counts[:, kept], max_fpr)

    absent, whole = np.full(len(counts), np.nan), among(np.ones_like(target), 0.1)
    domains = (~target, target)
    official = [among(domain | anomalous) if domain.any() else absent for domain in domains]
    return np.stack([*official, whole, *(among(domain) if domain.any() else absent for domain in domains)], axis=1)


def decision_metrics(decision: np.ndarray, anomalous: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Return precision, recall and f1: the means over the domains there are, each from its own clips.

    decision: (clips,) of 0 | 1; anomalous, target: (clips,) booleans.
    """
    parts = [_decided(decision[domain] == 1, anomalous[domain]) for domain in (~target, target) if domain.any()]
    return dict(zip(DECISION, np.mean(parts, axis=0), strict=True))


def _decided(flagged, anomalous):
    hits = (flagged & anomalous).sum()
    flags, wanted = flagged.sum(), anomalous.sum()
    return hits / max(flags, 1), hits / max(wanted, 1), 2 * hits / max(flags + wanted, 1)


def harmonic_mean(values: np.ndarray, axis: int | tuple[int, ...] | None = None) -> np.ndarray:
    """Return the harmonic mean of values in [0, 1] along ``axis``, each floored at machine epsilon by the challenge.

    NaN, what an absent domain has, is left out.
    """
    return 1 / np.nanmean(1 / np.maximum(values, EPS), axis=axis)


def omega(values: np.ndarray, kind: str = "omega") -> np.ndarray:
    """Return Ω, the harmonic mean over sections and three metrics, of ``values`` (…, sections, 5): (…).

    Where only one domain has clips, two metrics are there: its AUC and pAUC.
    """
    return harmonic_mean(values[..., OMEGA[kind]], axis=(-2, -1))
