from typing import Literal, Self

import numpy as np

from nearfar.data.domains import REFERENCES, paired
from nearfar.errors import one_of


class Detector:
    """One minus the largest cosine similarity to the training clips of each domain: detector K of the paper (§3).

    reference: "domain" keeps a bank for each domain there is, "pooled" one bank for all (the paper's).
    Training clips are scored with themselves left out, exactly, so no fold is needed.
    """

    def __init__(self, *, reference: Literal["domain", "pooled"]) -> None:
        self.reference = reference

    def fit(self, view: np.ndarray, *, domain: np.ndarray) -> Self:
        """view: (clips, dims) of normal clips; domain: (clips,) of "source" | "target"."""
        one_of("params.reference", self.reference, REFERENCES)
        self.bank_ = np.asarray(view)  # as it came: in float64 it would be twice as large
        self.target_ = np.asarray(domain) == "target"
        return self

    def score(self, view: np.ndarray) -> np.ndarray:
        """Return (clips, 2), the distance to the source and to the target bank, or (clips,) for one bank."""
        return self._nearest(_unit(view) @ _unit(self.bank_).T)

    def leave_one_out(self) -> np.ndarray:
        """Return the scores of the training clips, each against all others."""
        bank = _unit(self.bank_)
        similarity = bank @ bank.T
        np.fill_diagonal(similarity, -np.inf)
        return self._nearest(similarity)

    def _nearest(self, similarity):
        if self.reference == "pooled":
            return 1 - similarity.max(axis=1)
        banks = [bank for bank in (~self.target_, self.target_) if bank.any()]
        return paired([1 - similarity[:, bank].max(axis=1) for bank in banks])


def _unit(view):
    view = np.asarray(view, np.float64)
    return view / np.linalg.norm(view, axis=1, keepdims=True)
