"""One detector on one machine: fits, scores and normalized scores, file to file."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from safetensors import SafetensorError

from nearfar.data.domains import present, settled
from nearfar.data.views import read_views
from nearfar.detectors.crossfit import CrossFit
from nearfar.detectors.limits import Fit, capped, changes, training_clips
from nearfar.detectors.normalization import normalize
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.digests import together
from nearfar.jobs.files import read_about, write_table
from nearfar.seeds import seed_for


def detect_machine(
    clips: Sequence[str],
    views: list[str | Path],
    outputs: dict[str, str | Path],
    *,
    machine: str,
    detector: str,
    method: str,
    params: dict[str, Any],
    folds: int,
    few: str,
    seed: int,
    normalization: dict[str, Any],
    made: str,
) -> None:
    """Fit a detector on the training clips of a machine, score all its clips and normalize the scores.

    few: "cap" holds folds and parameters to what there are clips for (nearfar.detectors.limits), "refuse" takes them as
    they are.
    clips: paths of the clip tables; views: of the feature files; outputs: dict of three paths. ``fits`` gets the
    learned states of all folds and the scores of the training clips; where it is there already, of the same training
    clips, views and ``made`` (settings and code), it is read and nothing is fitted. ``scores`` gets the columns file,
    split and score, or source and target: cross-fitted scores of the training clips, and of the test clips the mean
    over the folds; ``normalized`` file, split and score, and, where something was capped, in its metadata ``limits``
    as JSON: the machine's training ``clips`` and what was ``capped``, in words.
    Raises NearfarError for a score that is not finite, and for features of the training clips or scores of the test
    clips that are all equal.
    """
    table, arrays = read_views(clips, views)
    train = table["split"] == "train"
    files, recording, domain = (table[name][train] for name in ("file", "recording", "domain"))
    seen, unseen = [view[train] for view in arrays], [view[~train] for view in arrays]
    own_seed = seed_for(seed, machine)
    with error_prefix(f"{machine}: detectors.{detector}"):
        _refuse_copies(views, seen, domain)
        fit, limits = Fit(method, params, folds, any(view.ndim == 3 for view in seen)), None
        if few == "cap":
            held = capped(fit, files, domain, recording, own_seed)
            fit, limits, domain = held, _limits(machine, domain, changes(fit, held)), settled(domain)
        made = together([made, *files, *recording, *domain, *map(_digest, seen)])
        if not _is_fitted(outputs["fits"], made):
            fits = CrossFit(fit.method, fit.params, fit.folds, own_seed).fit(files, domain, seen, few, recording)
            fits.write(outputs["fits"], fits.training_scores(seen), made)
        fits = CrossFit.read(outputs["fits"])  # what was read scores alike whenever it was fitted
        pair = fits.trained, fits.score(unseen)
        scores = _in_place(train, *pair)
        _refuse_not_finite(scores, table["file"])
        _refuse_equal(pair[1], unseen)
    key = {"file": table["file"], "split": table["split"]}
    names = ["score"] if scores.ndim == 1 else ["source", "target"]
    write_table(outputs["scores"], key | dict(zip(names, scores.reshape(len(scores), -1).T, strict=True)))
    normalized = pa.table(key | {"score": _in_place(train, *normalize(*pair, domain, **normalization))})
    write_table(outputs["normalized"], normalized.replace_schema_metadata(limits))


def _limits(machine, domain, changed):
    """Return the metadata that say what few clips have changed, None for nothing."""
    if not changed and present(settled(domain)) == present(domain):
        return None
    return {"limits": json.dumps({"clips": f"{machine}: {training_clips(domain)}", "capped": changed})}


def _digest(view):
    return hashlib.sha256(np.ascontiguousarray(view)).hexdigest()


def _is_fitted(path, made):
    """Return whether a fit of just these clips, views, settings and code is there already."""
    try:
        return read_about(path).get("made") == made
    except (OSError, ValueError, SafetensorError):  # none there, or one that a kill left
        return False


def _in_place(train, training, unseen):
    """Return the scores of all clips in the table's order, from those of the training and of the test clips."""
    scores = np.empty((len(train), *training.shape[1:]))
    scores[train], scores[~train] = training, unseen
    return scores


def _refuse_not_finite(scores, files):
    bad = ~np.isfinite(scores.reshape(len(scores), -1)).all(axis=1)
    if bad.any():
        raise NearfarError(f"gives no finite score to {files[bad][0]}; check that clip")


def _refuse_copies(paths, views, domain):
    """Raise NearfarError where in one of the views no training clip differs from another of its domain."""
    for path, view in zip(paths, views, strict=True):
        parts = [view[domain == d] for d in present(domain)]
        if max(map(len, parts)) > 1 and all(map(_equal, parts)):
            raise NearfarError(
                f"{path}: the same vector for all training clips of a domain; check that they are no copies of one "
                f"clip, and the weights of the backbone"
            )


def _refuse_equal(scores, views):
    """Raise NearfarError where all of several test clips have one score."""
    if len(scores) > 1 and _equal(scores):
        copies = all(map(_equal, views))
        why = "are equal too; check that they are no copies of one clip" if copies else "differ; check params and views"
        raise NearfarError(f"gives all {len(scores)} test clips the score {scores[0]}, and their features {why}")


def _equal(rows):
    return bool((rows == rows[:1]).all())
