from typing import Literal, Self

import numpy as np

from nearfar.data.domains import against_each, centre, means
from nearfar.detectors.covariance import principal, refuse_few
from nearfar.jobs.kinds import Count


class Detector:
    """Norm of the residual left when a ridge map predicts the far view from the near one: C1 of the paper (§3).

    Both views go to their own PCA space; the ridge strength is chosen by generalised cross-validation (Golub, Heath
    and Wahba 1979). whiten: divide each residual component by its spread over the training clips.
    reference: "domain" takes near and far relative to each domain's means, "pooled" to the means of all clips.
    Raises NearfarError where there are fewer clips than components.
    """

    def __init__(self, *, components: Count, whiten: bool, reference: Literal["domain", "pooled"]) -> None:
        self.components, self.whiten, self.reference = components, whiten, reference

    @staticmethod
    def at_most(clips: int) -> dict[str, int]:
        """Return the most that parameters may be for so many training clips: more would be predicted by heart."""
        return {"components": min(3 * clips // 4, clips - 3)}

    def fit(self, near: np.ndarray, far: np.ndarray, *, domain: np.ndarray) -> Self:
        """near, far: (clips, dims) of normal clips; domain: (clips,) of "source" | "target"."""
        for view in (near, far):
            refuse_few(self.components, view, min(self.at_most(len(view))["components"], view.shape[1]))
        self.near_centres_, self.far_centres_ = (means(v, domain, self.reference) for v in (near, far))
        near, far = centre(near, domain, self.near_centres_), centre(far, domain, self.far_centres_)
        self.near_basis_, self.far_basis_ = (principal(v, self.components)[0] for v in (near, far))
        x, y = near @ self.near_basis_.T, far @ self.far_basis_.T
        free = len(x) - len(self.near_centres_)  # each mean taken out costs a degree of freedom
        weights, degrees = _ridge(x, y, free)
        self.weights_ = weights.astype(np.float32)
        spread = np.sqrt(((y - x @ self.weights_) ** 2).sum(axis=0) / (free - degrees))
        # Recordings that repeat can be predicted to the last bit; the floor keeps such a component from ruling.
        self.scale_ = np.maximum(spread, 1e-6 * y.std(axis=0)) if self.whiten else np.ones_like(spread)
        return self

    def score(self, near: np.ndarray, far: np.ndarray) -> np.ndarray:
        """Return (clips, 2), the residual relative to source and to target, or (clips,) for one reference."""
        return against_each(self._residual, [near, far], [self.near_centres_, self.far_centres_])

    def _residual(self, near, far):
        residual = far @ self.far_basis_.T - near @ self.near_basis_.T @ self.weights_
        return np.linalg.norm(residual / self.scale_, axis=1)


def _ridge(x, y, free):
    """Return the ridge map with the least generalised cross-validation error, and its degrees of freedom.

    x, y: (clips, components); free: degrees of freedom that the clips have.
    """
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    uy = u.T @ y
    outside = (y**2).sum() - (uy**2).sum()
    best = None
    for strength in s[0] ** 2 * np.logspace(-8, 2, 41):
        shrink = s**2 / (s**2 + strength)
        error = (outside + (((1 - shrink)[:, None] * uy) ** 2).sum()) / (free - shrink.sum()) ** 2
        if best is None or error < best[0]:
            best = error, strength, shrink.sum()
    return vt.T @ ((s / (s**2 + best[1]))[:, None] * uy), best[2]
