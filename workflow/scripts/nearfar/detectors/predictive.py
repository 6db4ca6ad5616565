import numpy as np

from nearfar.covariance import principal
from nearfar.domains import against_each, centre, means
from nearfar.errors import NearfarError


class Detector:
    """Norm of the residual left when a ridge map predicts the far view from the near one: C1 of the paper (§3).

    Both views go to their own PCA space; the ridge strength is chosen by generalised cross-validation (Golub, Heath
    and Wahba 1979). whiten: divide each residual component by its spread over the training clips.
    reference: "domain" takes near and far relative to each domain's means, "pooled" to the means of all clips.
    Raises NearfarError where there are fewer clips than components.
    """

    def __init__(self, components=128, whiten=True, reference="domain"):
        self.components, self.whiten, self.reference = components, whiten, reference

    def fit(self, near, far, *, domain):
        """near, far: (clips, dims) of normal clips; domain: (clips,) of "source" | "target"."""
        _refuse_few(self.components, near)
        self.near_centres_, self.far_centres_ = (means(v, domain, self.reference) for v in (near, far))
        near, far = centre(near, domain, self.near_centres_), centre(far, domain, self.far_centres_)
        self.near_basis_, self.far_basis_ = (principal(v, self.components)[0] for v in (near, far))
        x, y = near @ self.near_basis_.T, far @ self.far_basis_.T
        self.weights_, degrees = _ridge(x, y)
        residual = y - x @ self.weights_
        spread = np.sqrt((residual**2).sum(axis=0) / max(len(x) - degrees, 1))
        self.scale_ = spread if self.whiten else np.ones_like(spread)
        return self

    def score(self, near, far):
        """Return (clips, 2), the residual relative to source and to target, or (clips,) for "pooled"."""
        return against_each(self._residual, [near, far], [self.near_centres_, self.far_centres_])

    def _residual(self, near, far):
        residual = far @ self.far_basis_.T - near @ self.near_basis_.T @ self.weights_
        return np.linalg.norm(residual / self.scale_, axis=1)


def _ridge(x, y):
    """Return the ridge map (components, components) with the least generalised cross-validation error, and its df."""
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    uy, n = u.T @ y, len(x)
    outside = (y**2).sum() - (uy**2).sum()
    best = None
    for strength in s[0] ** 2 * np.logspace(-8, 2, 41):
        shrink = s**2 / (s**2 + strength)
        error = (outside + (((1 - shrink)[:, None] * uy) ** 2).sum()) / max(n - shrink.sum(), 1e-9) ** 2
        if best is None or error < best[0]:
            best = error, strength, shrink.sum()
    return vt.T @ ((s / (s**2 + best[1]))[:, None] * uy), best[2]


def _refuse_few(components, view):
    most = min(len(view) - 2, view.shape[1])
    if components > most:
        raise NearfarError(
            f"params.components: {components} principal components need more clips or dimensions than "
            f"{view.shape[0]} × {view.shape[1]}; set it to at most {most}"
        )
