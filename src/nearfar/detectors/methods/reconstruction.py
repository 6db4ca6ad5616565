from typing import Literal, Self

import numpy as np

from nearfar.data.domains import paired
from nearfar.errors import NearfarError, one_of

# Of the feature autoencoder, nearfar.autoencoder.residuals.clip_scores.
COLUMNS = {"mse": slice(1), "mahalanobis": slice(1, None)}


class Detector:
    """The official baseline's scores, from what the autoencoder of the feature ``autoencoder`` leaves of a clip.

    distance: "mse", the mean squared error, or "mahalanobis", the distance of the mean residual to each domain; the
    baseline's "selective" one is the smaller, normalization: {reference: nearest}. Nothing is learned here, and the
    autoencoder has seen all training clips: their scores are in-sample whatever ``folds``.
    """

    def __init__(self, *, distance: Literal["mse", "mahalanobis"]) -> None:
        self.distance = one_of("params.distance", distance, COLUMNS)

    def fit(self, view: np.ndarray, *, domain: np.ndarray) -> Self:
        """view: (clips, 3), of one domain (clips, 2), the feature autoencoder/near; raises NearfarError for another."""
        if view.shape[1] not in (2, 3):
            raise NearfarError(f"views: reconstruction reads autoencoder/near, not {view.shape[1]} columns; name it")
        return self

    def score(self, view: np.ndarray) -> np.ndarray:
        """Return (clips,) in dB² for "mse"; for "mahalanobis" (clips, 2), to source and to target, or (clips,)."""
        return paired(np.asarray(view, np.float64)[:, COLUMNS[self.distance]].T)
