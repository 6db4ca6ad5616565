"""One detector on one machine: fits, scores and normalized scores, file to file."""

import numpy as np

from nearfar import crossfit
from nearfar.errors import NearfarError, naming
from nearfar.files import read_arrays, write_arrays, write_table
from nearfar.normalization import normalize
from nearfar.seeds import seed_for
from nearfar.views import read_views


def fit_machine(clips, views, path, *, machine, detector, method, params, folds, seed):
    """Fit all folds of a detector on the training clips of a machine and write their learned states.

    clips: path of the clip table; views: paths of the feature files.
    """
    table, arrays = read_views(clips, views, "train")
    clips_of = table["file"], table["domain"], arrays
    place = f"{machine}: detectors.{detector}"
    fitted = naming(place, crossfit.fit, (method, params), *clips_of, folds=folds, seed=seed_for(seed, machine))
    states = {f"{k}/{name}": value for k, one in enumerate(fitted) for name, value in crossfit.state(one).items()}
    write_arrays(path, states, method=method, params=params, fitted=len(fitted))


def score_machine(clips, views, fits, scores, normalized, *, machine, detector, folds, seed, normalization):
    """Score all clips of a machine: cross-fitted the training clips, by the mean over the folds the test clips.

    Writes ``scores`` (file, split, score or source and target) and ``normalized`` (file, split, score).
    Raises NearfarError for a score that is not finite.
    """
    fitted = _restored(fits)
    table, arrays = read_views(clips, views)
    train, test = table["split"] == "train", table["split"] == "test"
    files, domain = table["file"][train], table["domain"][train]
    training = crossfit.training_scores(
        fitted, files, domain, [v[train] for v in arrays], folds=folds, seed=seed_for(seed, machine)
    )
    unseen = crossfit.test_scores(fitted, [v[test] for v in arrays])
    both = np.empty((len(table["file"]), *training.shape[1:]))
    both[train], both[test] = training, unseen
    _refuse_not_finite(both, table["file"], detector, machine)
    names = ["score"] if both.ndim == 1 else ["source", "target"]
    key = {"file": table["file"], "split": table["split"]}
    write_table(scores, key | dict(zip(names, both.reshape(len(both), -1).T, strict=True)))
    result = np.empty(len(both))
    result[train], result[test] = normalize(training, unseen, domain, **normalization)
    write_table(normalized, key | {"score": result})


def _restored(fits):
    arrays, about = read_arrays(fits)
    states = [{} for _ in range(about["fitted"])]
    for key, value in arrays.items():
        fold, name = key.split("/")
        states[int(fold)][name] = value
    return [crossfit.restore(about["method"], about["params"], state) for state in states]


def _refuse_not_finite(scores, files, detector, machine):
    bad = ~np.isfinite(scores.reshape(len(scores), -1)).all(axis=1)
    if bad.any():
        raise NearfarError(f"{machine}: detector {detector} gives no finite score to {files[bad][0]}; check that clip")
