"""What few training clips allow: folds and components of detectors, capped for a machine and said in one line."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nearfar.data.dataset import FLOOR
from nearfar.data.domains import present, settled
from nearfar.detectors.crossfit import load
from nearfar.errors import NearfarError


class Fit(NamedTuple):
    """How a detector is fitted: file and arguments of a plug-in, folds, whether a view has an embedding a fold."""

    method: str
    params: dict[str, Any]
    folds: int
    folded: bool


def capped(domain: np.ndarray, fits: Mapping[str, Fit]) -> tuple[dict[str, Fit], str]:
    """Return the fits as a machine's training clips allow them, and a line saying what was capped, "" for nothing.

    domain: (clips,) of the training clips; fits: dict from detector. Each fold holds out at least one clip of each
    domain, so there are no more folds than the smaller domain has clips. Those of a view with an embedding a fold are
    the embedding's and stay: ``fold_of`` deals what there is. Parameters are held to what the plug-in's ``at_most``
    says of the clips that the smallest fit sees. Neighbours need no cap: it is always the nearest one.
    Raises NearfarError for fewer than FLOOR clips.
    """
    if len(domain) < FLOOR:
        raise NearfarError(f"{len(domain)} training clips, at least {FLOOR} are needed; add some")
    settled_domain = settled(domain)
    counts = {d: int((settled_domain == d).sum()) for d in present(settled_domain)}
    found = {name: _capped(fit, list(counts.values())) for name, fit in fits.items()}
    said = [f"{name}: {line}" for name in fits if (line := _changes(fits[name], found[name]))]
    said += [f"the one {d}-domain clip is counted to the other domain" for d in present(domain) if d not in counts]
    if not said:
        return found, ""
    clips = " and ".join(f"{count} {d}-domain" for d, count in counts.items())
    return found, f"{clips} training clips: {'; '.join(said)}"


def _capped(fit, counts):
    alone = fit.folds == 1 or (hasattr(load(fit.method), "leave_one_out") and not fit.folded)
    folds = fit.folds if alone or fit.folded else min(fit.folds, *counts)
    seen = sum(counts) if alone else sum(count - -(-count // folds) for count in counts)
    limit = getattr(load(fit.method), "at_most", lambda clips: {})
    params = {name: min(fit.params[name], most) for name, most in limit(seen).items()}
    return fit._replace(folds=folds, params=fit.params | params)


def _changes(before, after):
    """Return what differs between two fits in words."""
    pairs = {"folds": (before.folds, after.folds)}
    pairs |= {name: (value, after.params[name]) for name, value in before.params.items()}
    return ", ".join(f"{name} {now} instead of {then}" for name, (then, now) in pairs.items() if then != now)
