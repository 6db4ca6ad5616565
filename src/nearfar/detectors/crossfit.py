"""Cross-fitting: a training clip is scored by a detector that did not see it (docs/method.md, Scores).

In-sample scores say nothing of unseen clips: a clip's nearest neighbour is itself, and that of a window is the next
one of its recording. Nor do embeddings by a network that was trained on the clip: a view (clips, folds, dims) has one a
fold, by the network that did not see that fold.
"""

import importlib
import inspect
from pathlib import Path
from typing import Any, Self

import numpy as np

from nearfar.detectors.folds import fold_of, is_cut
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_arrays, write_arrays
from nearfar.seeds import seed_for

TRAINED = "training_scores"  # their name among the arrays of a fit
KEPT = "keep what it learns in attributes ending in _, as numpy arrays, or numbers, which are read back as arrays (1,)"
KINDS = (np.ndarray, np.generic, bool, int, float)


class CrossFit:
    """A detector fitted once a fold, or once on all clips where ``fits_once`` says so.

    method, params: file and constructor's arguments of a plug-in; seed: of (seed, machine).
    """

    def __init__(self, method: str, params: dict[str, Any], folds: int, seed: int):
        self.method, self.params, self.folds, self.seed = method, params, folds, seed

    def fit(
        self,
        files: np.ndarray,
        domain: np.ndarray,
        views: list[np.ndarray],
        few: str = "refuse",
        recording: np.ndarray | None = None,
    ) -> Self:
        """Deal the training clips to folds and fit, each time on all folds but one.

        files, domain: (clips,); views: list of (clips, dims) or (clips, folds, dims), dealt alike; few, recording: see
        fold_of; without ``recording`` each clip is one. Raises NearfarError as ``fold_of`` and the detector do, for a
        view of another number of folds, and for a detector that learns what ``write`` would lose.
        """
        _refuse_other_folds(self.folds, views)
        self.order = np.argsort(files)  # in which they are fitted, so that the given order changes nothing
        recording = files if recording is None else recording
        self.alone = fits_once(self.method, self.folds, any(view.ndim == 3 for view in views), is_cut(recording))
        self.fold = np.full(len(files), -1)
        if not self.alone:
            self.fold = fold_of(files, domain, recording, self.folds, self.seed, few)
        self.fitted = [self._made(k) for k in range(1 if self.alone else self.folds)]
        for k, detector in enumerate(self.fitted):
            seen, begun = self.order[self.fold[self.order] != k], dict(vars(detector))
            own = of_fold(views, k)
            detector.fit(*(view[seen] for view in own), domain=domain[seen])
            self._refuse_lost(k, begun, [view[seen[:2]] for view in own])
        return self

    def training_scores(self, views: list[np.ndarray]) -> np.ndarray:
        """Return the cross-fitted scores (clips,) or (clips, 2) of the clips that were fitted, in the order given."""
        if self.folds == 1:
            return self.score(views)
        if self.alone:
            rows, parts = self.order, [self.fitted[0].leave_one_out()]
        else:
            held_out = [np.flatnonzero(self.fold == k) for k in range(self.folds)]
            rows = np.concatenate(held_out)
            parts = [self._score(k, [view[own] for view in views]) for k, own in enumerate(held_out)]
        return np.concatenate(parts)[np.argsort(rows)]

    def score(self, views: list[np.ndarray]) -> np.ndarray:
        """Return the scores (clips,) or (clips, 2) of unseen clips: the mean over the fitted detectors."""
        return np.mean([self._score(k, views) for k in range(len(self.fitted))], axis=0)

    def write(self, path: str | Path, trained: np.ndarray, made: str) -> None:
        """Write what the detectors have learned, their attributes that end in ``_``, as safetensors.

        trained: the scores of the training clips, kept beside it; made: what stands for all that the fit depends on.
        Its metadata say what the detectors have chosen, where they have ``notes()`` of it.
        """
        notes = [one.notes() for one in self.fitted if hasattr(one, "notes")]
        about = {"method": self.method, "params": self.params, "fitted": len(self.fitted), "made": made}
        about |= {"chosen": notes} if any(notes) else {}
        learned = {f"{k}/{name}": value for k, one in enumerate(self.fitted) for name, value in _learned(one).items()}
        write_arrays(path, learned | {TRAINED: trained}, **about)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Return what ``write`` wrote, ready to score unseen clips; ``trained`` are the training clips' scores."""
        arrays, about = read_arrays(path)
        again = cls(about["method"], about["params"], about["fitted"], seed=0)
        again.trained = arrays.pop(TRAINED)
        again.fitted = [again._made(k) for k in range(again.folds)]
        for key, value in arrays.items():
            k, name = key.split("/")
            setattr(again.fitted[int(k)], name, value)
        return again

    def _score(self, k, views):
        return self.fitted[k].score(*of_fold(views, k))

    def _refuse_lost(self, k, begun, views):
        """Raise NearfarError where the attributes of detector ``k`` that are kept are not all that it has learned.

        begun: its attributes before the fit; views: of a few clips, which a detector made of them must score alike.
        """
        detector = self.fitted[k]
        for name, value in vars(detector).items():
            if not name.endswith("_") and (name not in begun or value is not begun[name]):
                raise NearfarError(f"{self.method}.py: fit sets {name}, which would be lost; {KEPT}")
        again = self._made(k)
        vars(again).update(_learned(detector))
        scores = detector.score(*views)
        try:
            same = np.allclose(again.score(*views), scores, rtol=1e-4, equal_nan=True)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise NearfarError(f"{self.method}.py: cannot score once read back ({what}); {KEPT}") from error
        if not same:
            raise NearfarError(f"{self.method}.py: gives other scores once read back; {KEPT}")

    def _made(self, k):
        make = load(self.method)
        takes_seed = "seed" in inspect.signature(make).parameters
        return make(**self.params | ({"seed": seed_for(self.seed, k)} if takes_seed else {}))


def _learned(detector):
    """Return the attributes of a detector that end in ``_`` as arrays; raises NearfarError for what is none."""
    learned = {name: value for name, value in vars(detector).items() if name.endswith("_")}
    for name, value in learned.items():
        kept = np.ascontiguousarray(value) if isinstance(value, KINDS) else None
        if kept is None or kept.dtype.kind not in "biuf" or kept.dtype.itemsize > 8:
            method = type(detector).__module__.rpartition(".")[2]
            raise NearfarError(f"{method}.py: fit sets {name}, a {type(value).__name__}, which cannot be kept; {KEPT}")
        learned[name] = kept
    return learned


def load(method: str) -> type:
    """Return the Detector class of ``nearfar/detectors/methods/<method>.py``."""
    return importlib.import_module(f"nearfar.detectors.methods.{method}").Detector


def fits_once(method: str, folds: int, folded: bool, cut: bool) -> bool:
    """Return whether one fit on all clips serves all: where ``folds`` is 1, or the detector leaves one out by itself.

    That says nothing on a view with an embedding a fold (folded), nor where clips are windows of a recording (cut),
    which leaves their neighbours in.
    """
    return folds == 1 or (hasattr(load(method), "leave_one_out") and not folded and not cut)


def of_fold(views: list[np.ndarray], k: int) -> list[np.ndarray]:
    """Return the views as fold ``k`` sees them, a list of (clips, dims)."""
    return [view[:, k] if view.ndim == 3 else view for view in views]


def _refuse_other_folds(folds, views):
    """Raise NearfarError where a view has an embedding a fold of other folds than the detector's."""
    others = {view.shape[1] for view in views if view.ndim == 3} - {folds}
    if others:
        raise NearfarError(
            f"folds: {folds}, but a view has an embedding for each of {min(others)} folds; give the detector "
            f"folds: {min(others)}, or train what embeds in {folds}"
        )
