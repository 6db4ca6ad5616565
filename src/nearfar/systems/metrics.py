"""The challenge's metric, in numpy. Every function takes scores where higher is more anomalous."""

import numpy as np

EPS = np.finfo(np.float64).eps


def auc(normal, anomalous):
    """Return the area under the ROC curve: the share of pairs in which the anomaly scores higher, ties a half.

    normal: (n,), anomalous: (m,) scores, neither empty.
    """
    ordered = np.sort(normal)
    below = np.searchsorted(ordered, anomalous, "left") + np.searchsorted(ordered, anomalous, "right")
    return below.sum() / (2 * len(normal) * len(anomalous))


def pauc(normal, anomalous, max_fpr=0.1):
    """Return the partial area up to ``max_fpr``, standardised after McClish (1989): 0.5 is chance, 1 the best.

    The same as sklearn.metrics.roc_auc_score(…, max_fpr=0.1), which the challenge uses.
    """
    thresholds = np.unique(np.concatenate([normal, anomalous]))[::-1]
    fpr, tpr = (np.append(0, _share_from(thresholds, scores)) for scores in (normal, anomalous))
    stop = np.searchsorted(fpr, max_fpr, "right")
    # as sklearn: the curve is cut on the segment that crosses max_fpr
    x = np.append(fpr[:stop], max_fpr)
    y = np.append(tpr[:stop], np.interp(max_fpr, fpr[stop - 1 : stop + 1], tpr[stop - 1 : stop + 1]))
    area = np.trapezoid(y, x)
    least = max_fpr**2 / 2
    return 0.5 * (1 + (area - least) / (max_fpr - least))


def _share_from(thresholds, scores):
    return (len(scores) - np.searchsorted(np.sort(scores), thresholds, "left")) / len(scores)


def harmonic_mean(values):
    """Return the harmonic mean of values in [0, 1], each floored at machine epsilon as the challenge does."""
    return len(values) / np.sum(1 / np.maximum(np.asarray(values, float), EPS))


def section_metrics(scores, anomalous, target, decisions=None):
    """Return the metrics of one section as fractions.

    scores: (clips,); anomalous, target: (clips,) booleans; decisions: (clips,) of 0 | 1 or None.
    Official: auc_source and auc_target set a domain's normal clips against all anomalies; ``_own`` against that
    domain's anomalies alone, as the paper's table does. pauc takes both domains together. precision, recall and f1 are
    the means over the two domains, each from its own clips.
    """
    row = {}
    for name, domain in (("source", ~target), ("target", target)):
        row[f"auc_{name}"] = auc(scores[~anomalous & domain], scores[anomalous])
        row[f"auc_{name}_own"] = auc(scores[~anomalous & domain], scores[anomalous & domain])
    row["pauc"] = pauc(scores[~anomalous], scores[anomalous])
    row["omega"] = harmonic_mean([row["auc_source"], row["auc_target"], row["pauc"]])
    row["omega_own"] = harmonic_mean([row["auc_source_own"], row["auc_target_own"], row["pauc"]])
    if decisions is not None:
        parts = [_decided(decisions[domain], anomalous[domain]) for domain in (~target, target)]
        row |= {key: np.mean([part[key] for part in parts]) for key in ("precision", "recall", "f1")}
    return row


def _decided(decisions, anomalous):
    hits = np.sum((decisions == 1) & anomalous)
    flagged, wanted = np.sum(decisions == 1), np.sum(anomalous)
    return {
        "precision": hits / max(flagged, 1),
        "recall": hits / max(wanted, 1),
        "f1": 2 * hits / max(flagged + wanted, 1),
    }
