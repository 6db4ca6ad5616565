"""Pseudo-attributes: clusters that stand in for the labels of machines that hide theirs."""

import numpy as np

from nearfar.errors import NearfarError
from nearfar.names import HIDDEN


def cluster(files, embeddings, *, components=32, most=16, smallest=10):
    """Return the cluster (clips,) int and the silhouette (clips,) float of one machine's training clips.

    Ward clustering (scipy) of L2-normalised PCA scores of the embeddings (clips, dims); of the cuts into
    2…``most`` clusters whose smallest holds ``smallest`` clips, the one with the highest mean silhouette.
    Fallback, where no cut is left or there are fewer than 2 · ``smallest`` clips: one cluster, silhouette 0.
    Clips are sorted by file name inside and clusters numbered in that order, so the order given is free.

    Raises NearfarError for embeddings that are not finite.
    """
    embeddings = np.asarray(embeddings, np.float64)
    if not np.isfinite(embeddings).all():
        bad = np.asarray(files)[~np.isfinite(embeddings).all(axis=1)][0]
        raise NearfarError(f"{bad}: embedding is not finite; extract the feature again")
    order = np.argsort(np.asarray(files, dtype=str), kind="stable")
    clusters, silhouettes = _best_cut(directions(embeddings[order], components), most, smallest)
    back = np.argsort(order)
    return clusters[back], silhouettes[back]


def classes(machine, attributes, clusters):
    """Return the class of each clip of a machine, (clips,) of "machine/attributes" or "machine/cluster_k".

    attributes: (clips,) text, "noAttribute" where hidden; clusters: (clips,) int, read only where hidden.
    """
    pairs = zip(attributes, clusters, strict=True)
    names = [f"cluster_{number}" if text == HIDDEN else text for text, number in pairs]
    return np.array([f"{machine}/{name}" for name in names], dtype=object)


def directions(embeddings, components=32):
    """Return the PCA scores of unit length, (clips, at most components), of embeddings (clips, dims)."""
    centred = embeddings - embeddings.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    scores = (left * scale)[:, :components]
    return scores / np.maximum(np.linalg.norm(scores, axis=1, keepdims=True), 1e-12)


def _best_cut(points, most, smallest):
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist, squareform
    from sklearn.metrics import silhouette_samples

    best = np.zeros(len(points), int), np.zeros(len(points))
    if len(points) < 2 * smallest:
        return best
    between = squareform(pdist(points))
    tree = linkage(points, "ward")
    highest = -np.inf
    for count in range(2, most + 1):
        cut = _by_appearance(fcluster(tree, count, "maxclust"))
        sizes = np.bincount(cut)
        if len(sizes) != count or sizes.min() < smallest:
            continue
        silhouettes = silhouette_samples(between, cut, metric="precomputed")
        if silhouettes.mean() > highest:
            highest, best = silhouettes.mean(), (cut, silhouettes)
    return best


def _by_appearance(labels):
    """Number labels 0, 1, … in the order in which they first appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
