"""What is known where the labels are: ROC, AUCs with intervals, confusion, and the worst misses."""

from pathlib import Path
from typing import Any

import numpy as np

from nearfar.comparison.bootstrap import interval, resample
from nearfar.errors import NearfarError
from nearfar.systems.metrics import METRICS, auc
from nearfar.systems.sections import labelled_sections
from nearfar.systems.tables import DECISIONS

WORST = 5  # misses and false alarms that are listed


def against_labels(
    machine: str, clips: str | Path, scores: str | Path, rows: list[dict], *, seed: int, resamples: int
) -> dict[str, Any] | None:
    """Return roc, areas, misses and false_alarms of a machine, or None where its recordings have no labels.

    rows: those of the report, with label, excess or score, and decision; both kinds of labels are there, or None too.
    """
    known = [row for row in rows if row["label"]]
    anomalous = np.array([row["label"] == "anomaly" for row in known], bool)
    if not anomalous.any() or anomalous.all():
        return None
    above = np.array([row["score"] - row["threshold"] for row in known])
    missed = [row for row in reversed(known) if row["label"] == "anomaly" and row["decision"] == "normal"]
    false = [row for row in known if row["label"] == "normal" and row["decision"] == "anomaly"]
    return {
        "roc": roc(above, anomalous),
        "areas": _areas(machine, clips, scores, seed, resamples) or [_whole(above, anomalous)],
        "confusion": {label: _decided(known, label) for label in DECISIONS},
        "misses": [row["id"] for row in missed[:WORST]],
        "false_alarms": [row["id"] for row in false[:WORST]],
    }


def roc(scores: np.ndarray, anomalous: np.ndarray) -> list[tuple[float, float]]:
    """Return the points (false-alarm rate, recall) of the curve of scores (n,); equal ones are one step."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan))
    hits = anomalous[order]
    rates = [(kind.cumsum()[ends] / kind.sum()).round(4).tolist() for kind in (~hits, hits)]
    return [(0.0, 0.0), *zip(*rates, strict=True)]


def _areas(machine, clips, scores, seed, resamples):
    """Return name, value, low and high of each metric of each section as eval.csv has them, none where it has none."""
    try:
        sections = labelled_sections({machine: clips}, {machine: scores})
    except NearfarError:  # a kind of clip is missing, so the challenge's metrics are not defined
        return []
    draws = resample(sections, seed=seed, resamples=resamples)
    low, high = interval(draws)
    return [
        {"section": part.section, "name": name, "value": draws[0, s, k], "low": low[s, k], "high": high[s, k]}
        for s, part in enumerate(sections)
        for k, name in enumerate(METRICS)
    ]


def _whole(scores, anomalous):
    return {"section": "", "name": "auc", "value": float(auc(scores, anomalous)[0]), "low": None, "high": None}


def _decided(rows, label):
    words = [row["decision"] for row in rows if row["label"] == label]
    return {word: words.count(word) for word in DECISIONS}
