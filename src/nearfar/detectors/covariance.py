"""Gaussian models of clips in any number of dimensions, kept in the span of the training clips.

With n clips in d dimensions a covariance has at most n directions of its own; in all others the shrunk covariance is
one number. So an n × n problem is solved where d is larger, and no d × d matrix is ever made. numpy alone: importing
scipy.linalg costs a job 0.4 CPU-seconds and would bring nothing.
"""

import numpy as np

from nearfar.errors import NearfarError, one_of


def shrinkage(centred: np.ndarray, gram: np.ndarray | None = None) -> tuple[float, float]:
    """Return the Ledoit–Wolf shrinkage towards μI and μ itself, for centred clips (n, d).

    gram: the smaller Gram matrix of the clips, where it is at hand.
    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004.
    """
    n, d = centred.shape
    squares = np.einsum("ij,ij->i", centred, centred)
    mu = squares.sum() / (n * d)
    frobenius = np.sum((_smaller_gram(centred) if gram is None else gram) ** 2) / n**2
    spread = (frobenius - d * mu**2) / d
    error = (np.sum(squares**2) / n - frobenius) / (n * d)
    return (min(error, spread) / spread if spread > 0 and error > 0 else 0.0), mu


def precision(centred: np.ndarray, covariance: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Return (basis (r, d) float32, variances (r,), rest) of the covariance of centred clips (n, d).

    ``basis`` holds orthonormal directions, ``variances`` the covariance along them, ``rest`` the variance in every
    other direction; it is infinite for "empirical", the pseudo-inverse, which ignores what lies outside the span.
    """
    n, d = centred.shape
    gram, values, vectors = _spectrum(centred)
    basis = vectors.T if d <= n else (vectors / np.sqrt(values)).T @ centred
    if one_of("params.covariance", covariance, ("ledoit_wolf", "empirical")) == "empirical":
        return basis.astype(np.float32), values / n, np.inf
    rho, mu = shrinkage(centred, gram)
    rest = rho * mu if rho > 0 and len(values) < d else np.inf
    return basis.astype(np.float32), (1 - rho) * values / n + rho * mu, rest


def log_density(centred: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the Gaussian log-density (clips,), in nats, of centred clips (clips, d) under the shrunk covariance.

    seen: the centred clips (n, d) that it is the Ledoit–Wolf covariance of. The density is one in all d dimensions, and
    −∞ where nothing is shrunk and the clips do not span them.
    """
    n, d = seen.shape
    gram, values, vectors = _spectrum(seen)
    along = centred @ vectors if d <= n else (centred @ seen.T) @ (vectors / np.sqrt(values))
    rho, mu = shrinkage(seen, gram)
    variances, others = (1 - rho) * values / n + rho * mu, d - len(values)
    if others and not rho * mu > 0:
        return np.full(len(centred), -np.inf)
    outside = np.einsum("ij,ij->i", centred, centred) - np.einsum("ij,ij->i", along, along)
    rest = (np.maximum(outside, 0) / (rho * mu), others * np.log(rho * mu)) if others else (0.0, 0.0)
    return -0.5 * (d * np.log(2 * np.pi) + np.log(variances).sum() + rest[1] + along**2 @ (1 / variances) + rest[0])


def distance(centred: np.ndarray, basis: np.ndarray, variances: np.ndarray, rest: float) -> np.ndarray:
    """Return the Mahalanobis distance (clips,) of centred clips (clips, d) under the model of ``precision``."""
    along = centred @ basis.T
    squared = (along**2) @ (1 / variances)
    if np.isfinite(rest):
        outside = np.einsum("ij,ij->i", centred, centred) - np.einsum("ij,ij->i", along, along)
        squared += np.maximum(outside, 0) / rest
    return np.sqrt(squared)


def principal(centred: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first principal directions (components, d) of centred clips (n, d), signs fixed, and variances.

    The directions are float32, as clips' vectors are: they are most of what a fit keeps.
    """
    n, d = centred.shape
    values, vectors = np.linalg.eigh(_smaller_gram(centred))
    values, vectors = values[: -components - 1 : -1], vectors[:, : -components - 1 : -1]
    basis = vectors.T if d <= n else (vectors / np.sqrt(np.maximum(values, 1e-300))).T @ centred
    signs = np.sign(basis[np.arange(components), np.abs(basis).argmax(axis=1)])
    return (basis * signs[:, None]).astype(np.float32), values / n


def refuse_few(components: int, view: np.ndarray, most: int) -> None:
    """Raise NearfarError where ``most`` components at most can be taken from a view (clips, dims)."""
    if components > most:
        raise NearfarError(
            f"params.components: {components} principal components need more clips or dimensions than "
            f"{view.shape[0]} × {view.shape[1]}; set it to at most {most}"
        )


def _spectrum(centred):
    """Return the smaller Gram matrix of centred clips (n, d), and its eigenvalues (r,) and vectors above rounding."""
    gram = _smaller_gram(centred)
    values, vectors = np.linalg.eigh(gram)
    keep = values > values[-1] * max(centred.shape) * np.finfo(np.float64).eps
    return gram, values[keep], vectors[:, keep]


def _smaller_gram(centred):
    return centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
