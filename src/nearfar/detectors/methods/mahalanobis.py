from typing import Literal, Self

import numpy as np

from nearfar.data.domains import against_each
from nearfar.detectors.covariance import distance
from nearfar.detectors.gaussian import Gaussian


class Detector(Gaussian):
    """Mahalanobis distance to the mean of each domain, under one covariance of the clips centred by domain.

    Detectors M, S and R of the paper (§3). Ten target clips have rank 9, so both domains share the covariance.
    reference: "domain" gives a distance to each domain, "pooled" one to the mean of all clips (the paper's M).
    covariance: as nearfar.detectors.gaussian.Gaussian takes it; "empirical" is the paper's M: its pseudo-inverse scores
    every training clip √(n−1) where n ≤ dims, so nothing about the training clips can be learned from it.
    """

    def __init__(
        self,
        *,
        covariance: Literal["ledoit_wolf", "diagonal", "likelihood", "empirical"],
        reference: Literal["domain", "pooled"],
    ) -> None:
        super().__init__(covariance, reference)

    def fit(self, view: np.ndarray, *, domain: np.ndarray) -> Self:
        """view: (clips, dims) of normal clips; domain: (clips,) of "source" | "target"."""
        self.learn(view, domain)
        return self

    def score(self, view: np.ndarray) -> np.ndarray:
        """Return (clips, 2), the distance to source and to target, or (clips,) for one reference."""
        return against_each(self._distance, [view], [self.centres_])

    def _distance(self, centred):
        return distance(self.scaled(centred), self.basis_, self.variances_, self.rest_)
