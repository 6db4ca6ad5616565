"""One system on one machine: its members' normalized scores fused, and decisions."""

import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import write_table
from nearfar.systems.alarms import p_values, threshold
from nearfar.systems.fusion import fuse, fuse_families
from nearfar.systems.sections import read_scores, refuse_broken
from nearfar.systems.weights import without


def fuse_machine(
    normalized: dict[str, str | Path],
    path: str | Path,
    training: str | Path,
    *,
    system: dict[str, Any],
    decision: dict[str, float | None],
    signals: str | Path | None = None,
) -> None:
    """Fuse the normalized scores (dict from detector to path) of a machine; say on stderr what few clips have capped.

    ``path`` gets file, score, decision, level (what the decision compares), threshold and p-value of the test clips,
    ``training`` the file and score of the training clips: their own, on the scale of the levels.

    system: weights and ranks, as ``fuse`` takes them, or families and combine, as ``fuse_families`` does, with
    residual, the detectors that hear it: they are left out where ``signals``, the judgement of the far microphone
    (nearfar.data.signals.judge), says that it is not far.
    decision: percentile, false_alarm and fdr, as nearfar.systems.alarms takes them.
    Raises NearfarError where the detectors do not score the same clips in the same order, and where a normalized or
    fused score is not finite.
    """
    if said := limits_of(normalized):
        print(f"nearfar: {said}", file=sys.stderr, flush=True)
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
        families = families_heard(system, signals)
        fused = fuse_families(*scores, families, combine=system["combine"], percentile=decision["percentile"])
    else:
        fused = fuse(*scores, system["weights"], ranks=system["ranks"], percentile=decision["percentile"])
    limit = threshold(fused.training, fused.level, **decision)
    with error_prefix(path):
        refuse_broken(first["file"][test], fused.score)
    table = {"file": first["file"][test], "score": fused.score, "decision": (fused.level > limit).astype(np.int8)}
    p = p_values(fused.level, fused.training)
    write_table(path, table | {"level": fused.level, "threshold": np.full(test.sum(), limit), "p": p})
    write_table(training, {"file": first["file"][train], "score": fused.training})


def limits_of(normalized: Mapping[str, str | Path]) -> str:
    """Return in a line what a machine's few training clips have capped of its detectors, "" for nothing.

    normalized: dict from detector to the path of its normalized scores, see nearfar.detectors.detection.
    """
    clips, detectors = "", defaultdict(list)  # by what was capped
    for name, path in normalized.items():
        if limits := (pq.read_schema(path).metadata or {}).get(b"limits"):
            clips, changes = json.loads(limits).values()
            for change in changes:
                detectors[change].append(name)
    capped = "; ".join(f"{change} in {', '.join(names)}" for change, names in detectors.items())
    return ": ".join(filter(None, [clips, capped]))


def families_heard(system: dict[str, Any], signals: str | Path | None) -> dict[str, list[str]]:
    """Return a system's families, where far is not far without the detectors that hear the residual.

    system, signals: as in ``fuse_machine``.
    """
    if not signals or json.loads(Path(signals).read_text(encoding="utf-8"))["far"]:
        return system["families"]
    return without(system["families"], system["residual"])
