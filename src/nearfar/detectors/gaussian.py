"""A Gaussian model of a machine's normal clips: the domains' means, one covariance, and what it shrinks towards.

Ledoit and Wolf shrink towards a multiple of the identity, so the scale of each feature matters: features as they are,
or each divided by its deviation, is another model, and neither is always the better one. The likelihood of held-out
normal clips tells which, without a label.
"""

from typing import Any

import numpy as np

from nearfar.data.domains import centre, means, present
from nearfar.detectors.covariance import log_density, precision
from nearfar.errors import one_of

COVARIANCES = ("ledoit_wolf", "diagonal", "likelihood", "empirical")
CHOICES = COVARIANCES[:2]  # of "likelihood"
FOLDS = 5  # of the held-out likelihood
STILL = 1e-3  # least deviation of a feature, relative to the root mean square of all: one that is still must not rule


class Gaussian:
    """What detectors under one covariance share; they learn centres_, basis_, variances_, rest_ (covariance.precision).

    covariance: "ledoit_wolf", shrunk towards a multiple of the identity; "diagonal", the same once each feature is
    divided by its deviation, scale_; "likelihood", the likelier one of these two, likelihoods_; "empirical", the
    pseudo-inverse. reference: "domain", a centre for each domain there is, or "pooled", one for all clips.
    """

    def __init__(self, covariance: str, reference: str) -> None:
        self.covariance, self.reference = one_of("params.covariance", covariance, COVARIANCES), reference

    def learn(self, view: np.ndarray, domain: np.ndarray) -> np.ndarray:
        """Learn from a view (clips, dims) of normal clips and return them, float64, centred and scaled."""
        chosen = self.covariance
        if chosen == "likelihood":
            self.likelihoods_ = held_out_likelihoods(view, domain, self.reference)
            chosen = CHOICES[int(self.likelihoods_.argmax())]
        self.centres_ = means(view, domain, self.reference)
        centred = centre(view, domain, self.centres_)
        if chosen == "diagonal":
            self.scale_ = deviations(centred)
            centred = self.scaled(centred)
        shrunk = "empirical" if chosen == "empirical" else "ledoit_wolf"
        self.basis_, self.variances_, self.rest_ = precision(centred, shrunk)
        return centred

    def scaled(self, centred: np.ndarray) -> np.ndarray:
        """Return clips (clips, dims), each feature divided by its deviation where the model does so."""
        return centred / self.scale_ if hasattr(self, "scale_") else centred

    def notes(self) -> dict[str, Any]:
        """Return what was chosen, and the mean log-likelihood of a held-out clip in nats, where something was."""
        if not hasattr(self, "likelihoods_"):
            return {}
        likelihoods = dict(zip(CHOICES, np.round(self.likelihoods_, 3).tolist(), strict=True))
        return {"covariance": CHOICES[int(self.likelihoods_.argmax())], "log_likelihoods": likelihoods}


def deviations(centred: np.ndarray) -> np.ndarray:
    """Return the standard deviation (d,) of each feature of centred clips (n, d), none far below the others'."""
    squares = np.einsum("ij,ij->j", centred, centred) / len(centred)
    return np.sqrt(np.maximum(squares, max(STILL**2 * squares.mean(), np.finfo(np.float64).tiny)))


def held_out_likelihoods(view: np.ndarray, domain: np.ndarray, reference: str) -> np.ndarray:
    """Return the mean log-likelihood (2,), in nats a clip, of held-out clips of a view (clips, dims) under CHOICES.

    Both are densities of the features as they are: dividing one by σ costs ln σ. Clips are dealt to five folds in the
    order given, each domain by itself.
    """
    fold, terms = _dealt(domain), []
    for k in range(min(FOLDS, fold.max() + 1)):
        seen = fold != k
        centred = centre(view, domain, means(view[seen], domain[seen], reference))
        scale = deviations(centred[seen])
        as_is = log_density(centred[~seen], centred[seen])
        centred /= scale
        terms.append(np.stack([as_is, log_density(centred[~seen], centred[seen]) - np.log(scale).sum()]))
    return np.concatenate(terms, axis=1).mean(axis=1)


def _dealt(domain):
    """Return the fold (clips,) of each clip; one that is alone in its domain is never held out, -1."""
    fold = np.full(len(domain), -1)
    for d in present(domain):
        members = np.flatnonzero(np.asarray(domain) == d)
        fold[members] = np.arange(len(members)) % FOLDS if len(members) > 1 else -1
    return fold
