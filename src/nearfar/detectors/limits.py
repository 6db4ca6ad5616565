"""What few training clips allow: folds and components of detectors, capped for a machine, and in words."""

from typing import Any, NamedTuple

import numpy as np

from nearfar.data.dataset import FLOOR
from nearfar.data.domains import present, settled
from nearfar.detectors.crossfit import fits_once, load
from nearfar.detectors.folds import fold_of, is_cut
from nearfar.errors import NearfarError


class Fit(NamedTuple):
    """How a detector is fitted: file and arguments of a plug-in, folds, whether a view has an embedding a fold."""

    method: str
    params: dict[str, Any]
    folds: int
    folded: bool


def capped(fit: Fit, files: np.ndarray, domain: np.ndarray, recording: np.ndarray, seed: int) -> Fit:
    """Return a fit as a machine's training clips, which are as fold_of takes them, allow it.

    Each fold holds out at least one clip of each domain, so there are no more folds than the smaller domain has clips.
    Those of a view with an embedding a fold are the embedding's and stay: ``fold_of`` deals what there is. Parameters
    are held to what the plug-in's ``at_most`` says of the clips that the smallest fit sees. Neighbours need no cap: it
    is always the nearest one. Raises NearfarError for fewer than FLOOR clips.
    """
    if len(files) < FLOOR:
        raise NearfarError(f"{len(files)} training clips, at least {FLOOR} are needed; add some")
    domain = settled(domain)
    once = fits_once(fit.method, fit.folds, fit.folded, is_cut(recording))
    fewest = min((domain == d).sum() for d in present(domain))
    folds = fit.folds if once or fit.folded else int(min(fit.folds, fewest))
    held_out = 0 if once else np.bincount(fold_of(files, domain, recording, folds, seed, "cap")).max()
    limit = getattr(load(fit.method), "at_most", lambda clips: {})
    params = {name: min(fit.params[name], most) for name, most in limit(int(len(files) - held_out)).items()}
    return fit._replace(folds=folds, params=fit.params | params)


def changes(before: Fit, after: Fit) -> list[str]:
    """Return what differs between two fits, in words."""
    pairs = {"folds": (before.folds, after.folds)}
    pairs |= {name: (value, after.params[name]) for name, value in before.params.items()}
    return [f"{name} {now} instead of {then}" for name, (then, now) in pairs.items() if then != now]


def training_clips(domain: np.ndarray) -> str:
    """Return how many training clips (clips,) a machine has, in words; one alone in its domain counts to the other."""
    counted = settled(domain)
    counts = [f"{(counted == d).sum()} {d}-domain" for d in present(counted)]
    alone = [d for d in present(domain) if d not in present(counted)]
    more = [f" (the one {d}-domain clip is counted to the other domain)" for d in alone]
    return "".join([" and ".join(counts), " training clips", *more])
