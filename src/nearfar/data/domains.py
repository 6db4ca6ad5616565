"""Source and target: centring by domain, and the two references a score can have."""

from collections.abc import Callable, Sequence

import numpy as np

from nearfar.errors import one_of

DOMAINS = ("source", "target")
REFERENCES = ("domain", "pooled")


def present(domain: np.ndarray) -> list[str]:
    """Return those of DOMAINS, in their order, that clips (clips,) are of: both, or the only one."""
    return [d for d in DOMAINS if (np.asarray(domain) == d).any()]


def settled(domain: np.ndarray) -> np.ndarray:
    """Return the domain (clips,) of training clips, a clip that is alone in its domain counted to the other.

    Of one clip nothing can be learned and that clip held out.
    """
    domain = np.asarray(domain)
    alone = [d for d in present(domain) if (domain == d).sum() == 1]
    if len(alone) != 1:
        return domain
    return np.where(domain == alone[0], DOMAINS[1 - DOMAINS.index(alone[0])], domain)


def means(view: np.ndarray, domain: np.ndarray, reference: str) -> np.ndarray:
    """Return the mean of a view (clips, dims) a domain, (2, dims), or (1, dims): of all clips for "pooled"."""
    view = np.asarray(view, np.float64)
    if one_of("params.reference", reference, REFERENCES) == "pooled":
        return view.mean(axis=0, keepdims=True)
    return np.stack([view[domain == d].mean(axis=0) for d in present(domain)])


def centre(view: np.ndarray, domain: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the view (clips, dims) less the mean of each clip's own domain, as float64."""
    if len(centres) == 1:
        return view - centres[0]
    return view - centres[(np.asarray(domain) == "target").astype(int)]


def against_each(
    score: Callable[..., np.ndarray], views: Sequence[np.ndarray], centres: Sequence[np.ndarray]
) -> np.ndarray:
    """Return ``score`` of the views less each centre: (clips,) for one centre, (clips, 2) for source and target.

    views: list of (clips, dims); centres: list, a view each, of (1 or 2, dims).
    """
    columns = [
        score(*(np.asarray(view, np.float64) - c[k] for view, c in zip(views, centres, strict=True)))
        for k in range(len(centres[0]))
    ]
    return paired(columns)


def paired(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return scores (clips,), one a reference, as (clips, 2), or as (clips,) where there is one reference."""
    return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)
