"""What was heard when: the score of every window of every recording, in order of time."""

from collections.abc import Iterator
from pathlib import Path

from nearfar.data.clips import read_clips
from nearfar.data.skipped import skipped
from nearfar.jobs.files import write_text
from nearfar.systems.sections import read_scores, refuse_mismatch
from nearfar.systems.tables import DECISIONS, NOT_SCORED, csv_table

COLUMNS = ("machine", "recording", "start", "score", "threshold", "decision", "note")


def write_timeline(
    clips: dict[str, str | Path], scores: dict[str, str | Path], path: str | Path, *, unscored: dict[str, str]
) -> None:
    """Write timeline.csv: score, threshold and decision of each test clip, by machine, recording and start in seconds.

    clips, scores: dicts from machine to the path of its clip table and of its fused scores; unscored: from machine to
    the reason. What was left out has a row with its reason, too. Raises NearfarError where clips and scores do not name
    the same.
    """
    rows = []
    for machine in clips:
        parts = [*_windows(clips[machine], scores[machine]), *_lost(clips[machine])]
        parts.sort(key=lambda row: (row["recording"], row.get("start", 0.0)))
        rows += [{"machine": machine} | row for row in parts]
    rows += [{"machine": machine, "decision": NOT_SCORED, "note": reason} for machine, reason in unscored.items()]
    write_text(path, csv_table(rows, COLUMNS, decimals=6))


def _windows(clips, scores) -> Iterator[dict]:
    known, fused = read_clips(clips), read_scores(scores)
    refuse_mismatch(scores, fused["file"], known["file"], "clip table")
    place = {file: i for i, file in enumerate(known["file"])}
    for file, level, threshold in zip(fused["file"], fused["level"], fused["threshold"], strict=True):
        i = place[file]
        row = {"recording": known["recording"][i], "start": known["start"][i], "score": level, "threshold": threshold}
        yield row | {"decision": DECISIONS[int(level > threshold)]}


def _lost(clips) -> Iterator[dict]:
    for recording, start, reason, _ in skipped(clips):
        at = {} if start is None else {"start": start}
        yield {"recording": recording, "decision": NOT_SCORED, "note": reason} | at
