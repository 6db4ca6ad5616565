"""The recordings of all machines in the order in which to listen to them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nearfar.data.clips import read_clips
from nearfar.data.skipped import Skipped, skipped
from nearfar.errors import NearfarError
from nearfar.jobs.files import write_text
from nearfar.systems.alarms import p_values, rate_of, threshold_at
from nearfar.systems.sections import read_scores, refuse_mismatch
from nearfar.systems.tables import DECISIONS, NOT_SCORED, csv_table
from nearfar.systems.windows import block_scores, by_recording, caution, in_time, worst

COLUMNS = ("machine", "rank", "score", "threshold", "excess", "p", "decision")  # then the place, each detector, a note
PLACE, NOTE = ("recording", "start", "path"), "note"  # the first two where recordings are cut into windows
EQUAL = 1e-12  # spread of training scores that are all the same


class Scores(NamedTuple):
    """What the ranking takes of a machine.

    clips: the table of its m test clips; level: (m,), what decisions compare; detectors: dict from detector to its
    scores (m,); training: the levels (n,) of the training clips in order of time; skipped: what has no score.
    """

    clips: dict[str, np.ndarray]
    level: np.ndarray
    detectors: dict[str, np.ndarray]
    training: np.ndarray
    skipped: list[Skipped]


def rank_machines(
    train: dict[str, str | Path],
    clips: dict[str, str | Path],
    scores: dict[str, str | Path],
    training: dict[str, str | Path],
    normalized: dict[str, dict[str, str | Path]],
    path: str | Path,
    *,
    decision: dict[str, float | None],
    worst_windows: int,
    unscored: dict[str, str],
) -> None:
    """Write ranking.csv: the test recordings of every machine, the most anomalous first, with the path to listen to.

    train, clips, scores, training: dicts from machine to the paths of its clip tables and fused scores; normalized:
    from detector to such a dict; unscored: from each machine that could not be scored, which stand last, to the reason.
    The score of a recording is the mean over its ``worst_windows`` worst windows, and so are the detectors' scores
    beside it; its threshold and p-value are by ``block_scores``; start and path are the worst window's. A whole clip is
    a recording of one window. ``excess``, which compares machines, is the score less the threshold in standard
    deviations of the machine's training scores. A machine's recordings stand in its order, so that no normal one is
    above an anomaly, before those that were left out. decision: percentile, false_alarm and fdr, as
    nearfar.systems.alarms takes them.
    Raises NearfarError where the tables of a machine name different clips, for a score that is not finite, and for a
    detector that bears the name of a column.
    """
    for name in {*COLUMNS, *PLACE, NOTE}.intersection(normalized):
        raise NearfarError(f"detectors.{name}: is a column of ranking.csv; give the detector another name")
    rows, cut = [], False
    for machine in clips:
        paths = (table[machine] for table in (train, clips, scores, training))
        found = read_machine(*paths, {name: table[machine] for name, table in normalized.items()})
        cut = cut or bool(found.clips["start"].any())
        ranked = rank_recordings(found, decision, worst_windows)
        rows += [{"machine": machine} | row for row in ranked]
        lost = [one for one in found.skipped if one.start is None]
        rows += [_not_scored(machine, one.reason, recording=one.recording, path=one.path) for one in lost]
    rows += [_not_scored(machine, reason) for machine, reason in unscored.items()]
    columns = (*COLUMNS, *(PLACE if cut else PLACE[-1:]), *normalized, NOTE)
    write_text(path, csv_table(rows, columns, decimals=6))


def _distance(row):
    return row["threshold"] - row["score"], -row["score"]  # a threshold may be infinite


def _not_scored(machine, reason, **place):
    return {"machine": machine, "rank": "", "decision": NOT_SCORED, NOTE: reason} | place


def read_machine(
    train: str | Path,
    clips: str | Path,
    scores: str | Path,
    training: str | Path,
    normalized: dict[str, str | Path],
) -> Scores:
    """Return the Scores of a machine from the paths that ``rank_machines`` takes; raises NearfarError as it does."""
    known, table, fused, own = read_clips(train), read_clips(clips), read_scores(scores), read_scores(training)
    refuse_mismatch(scores, fused["file"], table["file"], "clip table")
    refuse_mismatch(training, own["file"], known["file"], "clip table")
    detectors = {name: _of_clips(read_scores(path), "score", table) for name, path in normalized.items()}
    in_order = _of_clips(own, "score", known)[in_time(known)]
    return Scores(table, _of_clips(fused, "level", table), detectors, in_order, skipped(clips))


def _of_clips(table, column, clips):
    """Return a column of a score table in the order of a clip table's rows."""
    values = dict(zip(table["file"], table[column], strict=True))
    return np.array([values[file] for file in clips["file"]])


def rank_recordings(found: Scores, decision: dict[str, float | None], worst_windows: int) -> list[dict]:
    """Return the rows of a machine's scored recordings in ranking.csv, the most anomalous first."""
    ranked = sorted(_recordings(found, decision, worst_windows), key=_distance)
    return [{"rank": rank} | row for rank, row in enumerate(ranked, 1)]


def _recordings(found: Scores, decision: dict[str, float | None], worst_windows: int) -> Iterator[dict]:
    """Yield the row of each recording that has a score."""
    recordings, spread = by_recording(found.clips), found.training.std()
    lengths = {len(rows) for rows in recordings.values()}
    normal = {length: block_scores(found.training, length, worst_windows=worst_windows) for length in lengths}
    worst_rows = {name: rows[worst(found.level[rows], worst_windows)] for name, rows in recordings.items()}
    scores = {name: found.level[rows].mean() for name, rows in worst_rows.items()}
    p = {name: p_values(scores[name], normal[len(rows)]) for name, rows in recordings.items()}
    rate, percentile = rate_of(np.array(list(p.values())), **decision), decision["percentile"]
    lost = Counter(one.recording for one in found.skipped if one.start is not None)
    for recording, rows in recordings.items():
        chosen, score = worst_rows[recording], scores[recording]
        threshold = threshold_at(rate, normal[len(rows)], percentile)
        remarks = [f"{lost[recording]} of its windows not scored" if lost[recording] else ""]
        remarks += [caution(len(rows), len(found.training), 1 - percentile / 100 if rate is None else rate)]
        yield {
            "score": score,
            "threshold": threshold,
            "excess": (score - threshold) / spread if spread > EQUAL and np.isfinite(threshold) else None,
            "p": p[recording],
            "decision": DECISIONS[int(score > threshold)],
            "recording": recording,
            "start": f"{found.clips['start'][chosen[0]]:.3f}",
            "path": found.clips["path"][chosen[0]],
            NOTE: "; ".join(filter(None, remarks)),
        } | {name: values[chosen].mean() for name, values in found.detectors.items()}
