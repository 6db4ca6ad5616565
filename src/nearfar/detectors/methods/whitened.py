from typing import Literal, Self

import numpy as np

from nearfar.data.domains import DOMAINS, paired
from nearfar.detectors.covariance import shrinkage
from nearfar.detectors.gaussian import Gaussian


class Detector(Gaussian):
    """Distance to the nearest training clip of each domain, where the covariance within the domains is the identity.

    covariance: as nearfar.detectors.gaussian.Gaussian takes it, but for "empirical", under which all clips are equally
    far apart. reference: "domain" gives a distance to each domain, "pooled" one to the nearest clip of all.
    Training clips are scored with themselves left out of bank, means and covariance, in closed form, so no fold is
    needed; how much is shrunk, and the features' deviations, are those of all clips.
    """

    def __init__(
        self, *, covariance: Literal["ledoit_wolf", "diagonal", "likelihood"], reference: Literal["domain", "pooled"]
    ) -> None:
        super().__init__(covariance, reference)

    def fit(self, view: np.ndarray, *, domain: np.ndarray) -> Self:
        """view: (clips, dims) of normal clips; domain: (clips,) of "source" | "target"."""
        centred = self.learn(view, domain)
        self.bank_ = self._whitened(centred)[0].astype(np.float32)
        self.target_ = np.asarray(domain) == "target"
        self.share_ = (1 - shrinkage(centred)[0]) / len(centred)  # of one clip in the covariance
        return self

    def score(self, view: np.ndarray) -> np.ndarray:
        """Return (clips, 2), the distance to the nearest source and target clip, or (clips,) for one reference."""
        columns = []
        for mean, bank in zip(self.centres_, self._banks(), strict=True):
            along, outside = self._whitened(self.scaled(np.asarray(view, np.float64) - mean))
            columns.append(np.sqrt(_squares(along, self.bank_[bank]).min(axis=1) + outside))
        return paired(columns)

    def leave_one_out(self) -> np.ndarray:
        """Return the scores of the training clips, each against all others under the covariance without it.

        Without a clip u, centred, one of c in its domain, the covariance is n/(n − 1) times that of all less γ u uᵀ,
        γ = (1 − ρ)/n · c/(c − 1); Sherman and Morrison give its inverse.
        """
        clips, n, columns = np.float64(self.bank_), len(self.bank_), []
        own, count = self._own()
        gamma = self.share_ * count / np.maximum(count - 1, 1)
        left = np.maximum(1 - gamma * np.einsum("ij,ij->i", clips, clips), 1e-6)
        for mean, bank in zip(self.centres_, self._banks(), strict=True):
            shift, outside = self._whitened(self.scaled(self.centres_ - mean))
            there, others = clips + shift[own], clips[bank]
            leverage = np.einsum("ij,ij->i", clips, there)[:, None] - clips @ others.T
            squares = _squares(there, others) + outside[own, None] + (gamma / left)[:, None] * leverage**2
            squares[bank, np.arange(len(bank))] = np.inf
            columns.append(np.sqrt(squares.min(axis=1) * (n - 1) / n))
        return paired(columns)

    def _whitened(self, centred):
        """Return coordinates (clips, r) of centred and scaled clips, and the squared distance (clips,) to the span."""
        along = centred @ self.basis_.T
        outside = np.einsum("ij,ij->i", centred, centred) - np.einsum("ij,ij->i", along, along)
        return along / np.sqrt(self.variances_), np.maximum(outside, 0) / self.rest_

    def _banks(self):
        """Return the rows of the training clips that each centre stands for."""
        if len(self.centres_) == 1:
            return [np.arange(len(self.bank_))]
        return [np.flatnonzero(self.target_ == (d == "target")) for d in DOMAINS]

    def _own(self):
        """Return the number of each training clip's own centre, and how many clips that stands for."""
        own = self.target_.astype(int) if len(self.centres_) == 2 else np.zeros(len(self.bank_), int)
        return own, np.bincount(own)[own]


def _squares(ones, others):
    """Return the squared distances (n, m) of rows (n, r) to other rows (m, r)."""
    norms = [np.einsum("ij,ij->i", rows, rows, dtype=np.float64) for rows in (ones, others)]
    return np.maximum(norms[0][:, None] + norms[1] - 2 * ones @ others.T, 0)
