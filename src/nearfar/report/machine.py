"""What the report holds of one machine, as JSON: nothing in it knows what the page looks like."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.data.clips import read_clips
from nearfar.data.skipped import skipped
from nearfar.jobs.digests import together
from nearfar.jobs.files import write_text
from nearfar.report.cards import add_sounds, card
from nearfar.report.drivers import ranks_of
from nearfar.report.labels import against_labels
from nearfar.report.normals import hear_normals
from nearfar.systems.machine import families_heard
from nearfar.systems.ranking import rank_recordings, read_machine
from nearfar.systems.windows import block_scores, by_recording, worst

SHOWN = ("rank", "score", "threshold", "excess", "decision", "recording", "start", "path", "note")  # of a ranking's row


def report_machine(
    machine: str,
    paths: Mapping[str, str | Path],
    normalized: dict[str, str | Path],
    out: str | Path,
    *,
    system: dict[str, Any],
    decision: dict[str, float | None],
    worst_windows: int,
    channels: int,
    clips: int,
    megabytes: float,
    seed: int,
    resamples: int,
) -> None:
    """Write what the report says of a machine.

    paths: of the clip tables, train and test, of the fused scores and the training clips', and, where the system hears
    the residual, signals; normalized: dict from detector to path. clips: how many have a card; megabytes: what their
    sounds may take. Raises NearfarError as ``read_machine`` and ``read_place`` do.
    """
    found = read_machine(*(paths[key] for key in ("train", "test", "scores", "training")), normalized)
    if "families" in system:
        system = system | {"families": families_heard(system, paths.get("signals"))}
    chosen = _worst_windows(found, worst_windows)
    ranks = ranks_of(normalized, found.clips["file"])
    rows = [_row(row, chosen, found.clips) for row in rank_recordings(found, decision, worst_windows)]
    labels = against_labels(machine, paths["test"], paths["scores"], rows, seed=seed, resamples=resamples)
    normals = hear_normals(read_clips(paths["train"]), channels)
    cards, signals = [], []
    for row in _with_card(rows, labels, clips):
        clip = chosen[row["recording"]]
        own = {name: float(values[clip]) for name, values in ranks.items()}
        shown, sounds = card(found.clips["place"][clip], channels, normals, own, system)
        cards.append({"row": row["id"]} | shown)
        signals.append(sounds)
    heard = add_sounds(cards, signals, normals, channels, megabytes)
    known = {"machine": machine, "rows": rows, "cards": cards, "labels": labels, "decision": decision} | heard
    known |= _levels(found, worst_windows) | {"timelines": _timelines(found), "detectors": list(normalized)}
    known["skipped"] = [[split, *one[:3]] for split in ("train", "test") for one in skipped(paths[split])]
    contents = [digest for split in ("train", "test") for digest in read_clips(paths[split])["content"]]
    write_text(out, json.dumps(known | {"data": together(contents)}))


def _worst_windows(found, worst_windows):
    """Return a dict from recording to the row of its worst window."""
    recordings = by_recording(found.clips)
    return {name: int(rows[worst(found.level[rows], worst_windows)][0]) for name, rows in recordings.items()}


def _row(ranked, chosen, clips):
    """Return a row of the report's table: of the ranking's, and what is known of the clip."""
    clip = chosen[ranked["recording"]]
    rounded = {key: round(value, 6) if isinstance(value, float) else value for key, value in ranked.items()}
    return {key: rounded[key] for key in SHOWN} | {
        "id": f"r{ranked['rank']}",
        "label": clips["label"][clip],
        "domain": clips["domain"][clip],
        "windowed": bool((clips["recording"] == ranked["recording"]).sum() > 1),
    }


def _with_card(rows, labels, clips):
    """Return the first rows, and behind them the anomalies that were missed most."""
    missed = labels["misses"] if labels else []
    return rows[:clips] + [row for row in rows[clips:] if row["id"] in missed]


def _levels(found, worst_windows):
    """Return the scores of normal recordings of the commonest length, sorted, and how many normal clips there are."""
    lengths = [len(rows) for rows in by_recording(found.clips).values()]
    length = max(set(lengths), key=lengths.count)
    training = np.sort(block_scores(found.training, length, worst_windows=worst_windows))
    return {"training": training.round(6).tolist(), "normal_clips": len(found.training), "windows": length}


def _timelines(found):
    """Return, of each recording of several windows, where each begins in seconds and its level."""
    parts = {name: rows for name, rows in by_recording(found.clips).items() if len(rows) > 1}
    starts = found.clips["start"]
    return {name: [starts[rows].tolist(), found.level[rows].round(4).tolist()] for name, rows in parts.items()}
