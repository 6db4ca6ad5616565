"""One system on one machine: fused scores, decisions and the list of clips to listen to."""

import csv
import io

import numpy as np

from nearfar.jobs.files import read_table, write_table, write_text
from nearfar.systems.fusion import fuse


def fuse_machine(normalized, path, *, weights, ranks, percentile):
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


def rank_machines(machines, clips, scores, path):
    """Write ranking.csv: the test clips of every machine, the most anomalous first, with the path to listen to."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["machine", "rank", "score", "decision", "path"])
    for machine, clip_table, score_table in zip(machines, clips, scores, strict=True):
        known, fused = read_table(clip_table), read_table(score_table)
        place = dict(zip(known["file"], known["path"], strict=True))
        for rank, i in enumerate(np.argsort(-fused["score"], kind="stable"), 1):
            word = "anomaly" if fused["decision"][i] else "normal"
            writer.writerow([machine, rank, f"{fused['score'][i]:.4f}", word, place[fused["file"][i]]])
    write_text(path, text.getvalue())
