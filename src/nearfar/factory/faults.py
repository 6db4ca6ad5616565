"""What can go wrong with a simulated machine; each kind is meant for another family of detectors."""

from dataclasses import dataclass

import numpy as np

from nearfar.factory import signals

KINDS = (
    "wear",  # stationary change of the spectrum: seen by spectral and embedding means
    "path",  # a panel opens on the far side: seen by what compares near and far
    "intermittent",  # clicks or rubs at random times: seen by spread over time
    "modulation",  # the envelope swings or stutters: seen by spread and structure over time
)


@dataclass
class Fault:
    """One clip's fault; ``rng`` is its own, so that the healthy sound beneath stays the same.

    severity: 0…1; kind: one of KINDS, or "" for a healthy machine.
    """

    kind: str
    severity: float
    rng: np.random.Generator

    def amount(self, kind: str) -> float:
        """Return the severity of a fault of ``kind``, 0 where this clip has none."""
        return self.severity if self.kind == kind else 0.0


def draw(kind: str, rng: np.random.Generator) -> Fault:
    """Draw a fault of ``kind`` from half to fully grown; "" draws a healthy machine."""
    return Fault(kind, rng.uniform(0.5, 1.0) if kind else 0.0, rng)


def random_times(n: int, per_second: float, rng: np.random.Generator) -> np.ndarray:
    """Return sample indices of at least one event at random times, about ``per_second`` of them."""
    return np.sort(rng.integers(0, n, max(1, rng.poisson(per_second * n / signals.RATE))))
