"""One system on one machine: fused scores, decisions and the list of clips to listen to."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.data.clips import read_clips
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import write_table, write_text
from nearfar.systems.fusion import fuse, fuse_families
from nearfar.systems.sections import read_scores, refuse_broken, refuse_mismatch
from nearfar.systems.tables import csv_table


def fuse_machine(
    normalized: dict[str, str | Path],
    path: str | Path,
    *,
    system: dict[str, Any],
    percentile: float,
    signals: str | Path | None = None,
) -> None:
    """Fuse the normalized scores (dict from detector to path) of a machine and write file, score and decision.

    system: weights and ranks, as ``fuse`` takes them, or families and combine, as ``fuse_families`` does, with
    residual, the detectors that hear it: they are left out where ``signals``, the judgement of the far microphone
    (nearfar.data.signals.judge), says that it is not far.

    Raises NearfarError where the detectors do not score the same clips in the same order, and where a normalized or
    fused score is not finite.
    """
    tables = {name: read_scores(file) for name, file in normalized.items()}
    first = next(iter(tables.values()))
    for name, table in tables.items():
        if not all(np.array_equal(table[key], first[key]) for key in ("file", "split")):
            raise NearfarError(
                f"{normalized[name]}: not the clips of {next(iter(normalized.values()))} in their order; "
                f"delete both and run again"
            )
    train, test = first["split"] == "train", first["split"] == "test"
    scores = [{name: table["score"][rows] for name, table in tables.items()} for rows in (train, test)]
    if "families" in system:
        families = system["families"]
        if signals and not json.loads(Path(signals).read_text(encoding="utf-8"))["far"]:
            families = _without(families, system["residual"])
        score, decision, _ = fuse_families(*scores, families, combine=system["combine"], percentile=percentile)
    else:
        score, decision, _ = fuse(*scores, system["weights"], ranks=system["ranks"], percentile=percentile)
    with error_prefix(path):
        refuse_broken(first["file"][test], score)
    write_table(path, {"file": first["file"][test], "score": score, "decision": decision})


def _without(families, residual):
    """Return the families without the detectors that hear the residual, and without a family that had no other."""
    kept = {family: [name for name in names if name not in residual] for family, names in families.items()}
    return {family: names for family, names in kept.items() if names} or families


def rank_machines(clips: dict[str, str | Path], scores: dict[str, str | Path], path: str | Path) -> None:
    """Write ranking.csv: the test clips of every machine, the most anomalous first, with the path to listen to.

    clips, scores: dicts from machine to the path of its clip table and of its fused scores. Raises NearfarError where
    they name different clips, and for a score that is not finite.
    """
    rows = []
    for machine in clips:
        known, fused = read_clips(clips[machine]), read_scores(scores[machine])
        refuse_mismatch(scores[machine], fused["file"], known["file"], "clip table")
        rows += _ranked(machine, known, fused)
    write_text(path, csv_table(rows, ("machine", "rank", "score", "decision", "path")))


def _ranked(machine, clips, fused):
    place = dict(zip(clips["file"], clips["path"], strict=True))
    for rank, i in enumerate(np.argsort(-fused["score"], kind="stable"), 1):
        word = "anomaly" if fused["decision"][i] else "normal"
        row = {"machine": machine, "rank": rank, "score": fused["score"][i]}
        yield row | {"decision": word, "path": place[fused["file"][i]]}
