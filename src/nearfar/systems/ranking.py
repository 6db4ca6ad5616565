"""One system on one machine: fused scores, decisions and the list of clips to listen to."""

from pathlib import Path

import numpy as np

from nearfar.jobs.files import read_table, write_table, write_text
from nearfar.systems.fusion import fuse
from nearfar.systems.tables import csv_table


def fuse_machine(
    normalized: dict[str, str | Path], path: str | Path, *, weights: dict[str, float], ranks: str, percentile: float
) -> None:
    """Fuse the normalized scores (dict from detector to path) of a machine and write file, score and decision."""
    tables = {name: read_table(file) for name, file in normalized.items()}
    first = next(iter(tables.values()))
    train, test = first["split"] == "train", first["split"] == "test"
    score, decision, _ = fuse(
        {name: table["score"][train] for name, table in tables.items()},
        {name: table["score"][test] for name, table in tables.items()},
        weights,
        ranks=ranks,
        percentile=percentile,
    )
    write_table(path, {"file": first["file"][test], "score": score, "decision": decision})


def rank_machines(clips: dict[str, str | Path], scores: dict[str, str | Path], path: str | Path) -> None:
    """Write ranking.csv: the test clips of every machine, the most anomalous first, with the path to listen to.

    clips, scores: dicts from machine to the path of its clip table and of its fused scores.
    """
    rows = []
    for machine in clips:
        rows += _ranked(machine, read_table(clips[machine]), read_table(scores[machine]))
    write_text(path, csv_table(rows, ("machine", "rank", "score", "decision", "path")))


def _ranked(machine, clips, fused):
    place = dict(zip(clips["file"], clips["path"], strict=True))
    for rank, i in enumerate(np.argsort(-fused["score"], kind="stable"), 1):
        word = "anomaly" if fused["decision"][i] else "normal"
        row = {"machine": machine, "rank": rank, "score": fused["score"][i]}
        yield row | {"decision": word, "path": place[fused["file"][i]]}
