"""From the two scores of a detector, one a domain, to one that needs no domain label (§3.4)."""

import numpy as np

from nearfar.data.domains import present


def normalize(
    train: np.ndarray, test: np.ndarray, domain: np.ndarray, *, pseudo_clips: float, reference: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the normalized training (n,) and test (m,) scores.

    train: (n,) or (n, 2) cross-fitted scores of the training clips, a column a domain; test: (m,) or (m, 2);
    domain: (n,) of "source" | "target". s̃ = min over d of (s_d − μ_d)/σ_d, with μ_d and σ_d from the training clips of
    domain d; where there is one domain, its scale is the only one. For a score that is one number this is strictly
    increasing and changes no rank.
    reference: "nearest" takes the smaller of the two scores first, as the paper's minimum over centroids does.
    pseudo_clips: weight, in clips, of σ_source in σ_target, whose own clips are few.
    """
    if reference == "nearest" and train.ndim == 2:
        train, test = train.min(axis=1), test.min(axis=1)
    there = present(domain)
    pairs = [part[:, None].repeat(len(there), axis=1) if part.ndim == 1 else part for part in (train, test)]
    own = [pairs[0][np.asarray(domain) == d, k] for k, d in enumerate(there)]
    centre = np.array([part.mean() for part in own])
    variance = np.array([part.var() for part in own])
    if len(there) == 2:
        count = len(own[1])
        variance[1] = (count * variance[1] + pseudo_clips * variance[0]) / (count + pseudo_clips)
    scale = np.sqrt(variance)
    # Scores that are all equal (the literal pseudo-inverse) have no scale: any positive one keeps their order.
    scale[0] = max(scale[0], 1e-9 * np.abs(own[0]).max(), 1e-300)
    scale[1:] = np.maximum(scale[1:], 0.1 * scale[0])
    return tuple(((pair - centre) / scale).min(axis=1) for pair in pairs)
