"""One detector on one machine: fits, scores and normalized scores, file to file."""

import numpy as np

from nearfar.data.views import read_views
from nearfar.detectors import crossfit
from nearfar.detectors.normalization import normalize
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import write_table
from nearfar.seeds import seed_for


def detect_machine(clips, views, outputs, *, machine, detector, method, params, folds, seed, normalization):
    """Fit a detector on the training clips of a machine, score all its clips and normalize the scores.

    clips: path of the clip table; views: paths of the feature files; outputs: dict of three paths. ``fits`` gets the
    learned states of all folds; ``scores`` the columns file, split and score, or source and target: cross-fitted scores
    of the training clips, and of the test clips the mean over the folds; ``normalized`` file, split and score.
    Raises NearfarError for a score that is not finite.
    """
    table, arrays = read_views(clips, views)
    train, test = table["split"] == "train", table["split"] == "test"
    seen = table["file"][train], table["domain"][train], [view[train] for view in arrays]
    place, how = f"{machine}: detectors.{detector}", {"folds": folds, "seed": seed_for(seed, machine)}
    with error_prefix(place):
        fitted = crossfit.fit((method, params), *seen, **how)
    training = crossfit.training_scores(fitted, *seen, **how)
    unseen = crossfit.test_scores(fitted, [view[test] for view in arrays])
    scores = np.empty((len(table["file"]), *training.shape[1:]))
    scores[train], scores[test] = training, unseen
    _refuse_not_finite(scores, table["file"], detector, machine)
    normalized = np.empty(len(scores))
    normalized[train], normalized[test] = normalize(training, unseen, seen[1], **normalization)
    crossfit.write(fitted, outputs["fits"], method=method, params=params)
    names = ["score"] if scores.ndim == 1 else ["source", "target"]
    key = {"file": table["file"], "split": table["split"]}
    write_table(outputs["scores"], key | dict(zip(names, scores.reshape(len(scores), -1).T, strict=True)))
    write_table(outputs["normalized"], key | {"score": normalized})


def _refuse_not_finite(scores, files, detector, machine):
    bad = ~np.isfinite(scores.reshape(len(scores), -1)).all(axis=1)
    if bad.any():
        raise NearfarError(f"{machine}: detector {detector} gives no finite score to {files[bad][0]}; check that clip")
