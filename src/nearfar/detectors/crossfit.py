"""Cross-fitting: a training clip is scored by a detector that did not see it (docs/method.md, Scores).

In-sample scores say nothing of unseen clips: a clip's nearest neighbour is itself.
"""

import importlib
import inspect

import numpy as np

from nearfar.data.domains import DOMAINS
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_arrays, write_arrays
from nearfar.seeds import fraction, seed_for


def load(method):
    """Return the Detector class of ``nearfar/detectors/methods/<method>.py``."""
    return importlib.import_module(f"nearfar.detectors.methods.{method}").Detector


def fold_of(files, domain, folds, seed):
    """Return the fold (clips,) of each training clip, dealt within its domain in the order of its name's hash.

    Raises NearfarError where a domain has fewer clips than there are folds.
    """
    fold = np.zeros(len(files), int)
    for d in DOMAINS:
        members = np.flatnonzero(np.asarray(domain) == d)
        if len(members) < max(folds, 2):
            raise NearfarError(
                f"folds: {folds} folds need as many {d}-domain training clips, there are {len(members)}; "
                f"lower folds or add clips"
            )
        order = sorted(members, key=lambda i: fraction(seed, files[i]))
        fold[order] = np.arange(len(order)) % folds
    return fold


def fit(detector, files, domain, views, *, folds, seed):
    """Return the fitted detectors: one a fold, or a single one where it leaves one out by itself or folds is 1.

    detector: (method, params); files, domain: (clips,); views: list of (clips, dims); seed: of (seed, machine).
    """
    method, params = detector
    make = load(method)
    order = np.argsort(files)
    files, domain, views = files[order], domain[order], [view[order] for view in views]
    if folds == 1 or hasattr(make, "leave_one_out"):
        return [make(**_seeded(make, params, seed, 0)).fit(*views, domain=domain)]
    fold = fold_of(files, domain, folds, seed)
    fitted = []
    for k in range(folds):
        seen = fold != k
        fitted.append(make(**_seeded(make, params, seed, k)).fit(*(v[seen] for v in views), domain=domain[seen]))
    return fitted


def training_scores(fitted, files, domain, views, *, folds, seed):
    """Return the cross-fitted scores (clips,) or (clips, 2) of the training clips, in the order given."""
    if folds == 1:
        return fitted[0].score(*views)
    if hasattr(fitted[0], "leave_one_out"):
        scores = fitted[0].leave_one_out()
        return scores[np.argsort(np.argsort(files))]
    fold = fold_of(files, domain, folds, seed)
    scores = [detector.score(*(view[fold == k] for view in views)) for k, detector in enumerate(fitted)]
    result = np.empty((len(files), *scores[0].shape[1:]))
    for k, part in enumerate(scores):
        result[fold == k] = part
    return result


def test_scores(fitted, views):
    """Return the scores (clips,) or (clips, 2) of unseen clips: the mean over the fitted detectors."""
    return np.mean([detector.score(*views) for detector in fitted], axis=0)


def state(detector):
    """Return the learned state of a detector: its attributes that end in ``_``, as arrays."""
    return {name: np.asarray(value) for name, value in vars(detector).items() if name.endswith("_")}


def write(fitted, path, *, method, params):
    """Write the learned states of fitted detectors of one method as safetensors."""
    states = {f"{k}/{name}": value for k, one in enumerate(fitted) for name, value in state(one).items()}
    write_arrays(path, states, method=method, params=params, fitted=len(fitted))


def read(path):
    """Return the fitted detectors that ``write`` wrote, ready to score clips."""
    arrays, about = read_arrays(path)
    make = load(about["method"])
    fitted = [make(**_seeded(make, about["params"], 0, k)) for k in range(about["fitted"])]
    for key, value in arrays.items():
        fold, name = key.split("/")
        setattr(fitted[int(fold)], name, value)
    return fitted


def _seeded(make, params, seed, fold):
    takes_seed = "seed" in inspect.signature(make).parameters
    return params | {"seed": seed_for(seed, fold)} if takes_seed else params
