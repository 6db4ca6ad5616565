from typing import Literal, Self

import numpy as np

from nearfar.data.domains import against_each, centre, means
from nearfar.detectors.covariance import distance, precision


class Detector:
    """Mahalanobis distance to the mean of each domain, under one covariance of the clips centred by domain.

    Detectors M, S and R of the paper (§3). Ten target clips have rank 9, so both domains share the covariance.
    reference: "domain" gives a distance to each domain, "pooled" one to the mean of all clips (the paper's M).
    covariance: "ledoit_wolf", or "empirical", the paper's M: its pseudo-inverse scores every training clip √(n−1)
    where n ≤ dims, so nothing about the training clips can be learned from it.
    """

    def __init__(
        self, *, covariance: Literal["ledoit_wolf", "empirical"], reference: Literal["domain", "pooled"]
    ) -> None:
        self.covariance, self.reference = covariance, reference

    def fit(self, view: np.ndarray, *, domain: np.ndarray) -> Self:
        """view: (clips, dims) of normal clips; domain: (clips,) of "source" | "target"."""
        self.centres_ = means(view, domain, self.reference)
        self.basis_, self.variances_, self.rest_ = precision(centre(view, domain, self.centres_), self.covariance)
        return self

    def score(self, view: np.ndarray) -> np.ndarray:
        """Return (clips, 2), the distance to source and to target, or (clips,) for "pooled"."""
        return against_each(lambda x: distance(x, self.basis_, self.variances_, self.rest_), [view], [self.centres_])
