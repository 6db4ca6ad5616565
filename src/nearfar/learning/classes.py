"""The classes that everything is trained on: machine × attribute, clusters standing in for hidden attributes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nearfar.data.names import HIDDEN
from nearfar.data.views import read_views
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_table, replacing, write_table, write_text
from nearfar.jobs.kinds import Count
from nearfar.systems.tables import csv_table


def write_classes(
    clips: str | Path,
    embeddings: str | Path,
    path: str | Path,
    *,
    pseudo: bool,
    components: Count,
    most: int,
    smallest: int,
) -> None:
    """Write the class of each training clip of a machine: file, class, cluster and silhouette.

    A class is machine and attribute; where the machine hides its attributes, clusters of ``embeddings`` stand in, or,
    without ``pseudo``, the whole machine is one class. components, most, smallest: see cluster.
    """
    table, (vectors,) = read_views(clips, [embeddings])
    clusters, silhouette = np.zeros(len(vectors), int), np.zeros(len(vectors))
    if pseudo and HIDDEN in table["attribute"]:
        clusters, silhouette = cluster(table["file"], vectors, components=components, most=most, smallest=smallest)
    words = named(table["machine"][0], table["attribute"], clusters)
    write_table(path, {"file": table["file"], "class": words, "cluster": clusters, "silhouette": silhouette})


def read_classes(path: str | Path, files: Sequence[str]) -> np.ndarray:
    """Return the class of each of ``files``, (clips,) words, from what write_classes wrote.

    Raises NearfarError where a file has none.
    """
    table = read_table(path)
    label = dict(zip(table["file"], table["class"], strict=True))
    missing = [file for file in files if file not in label]
    if missing:
        raise NearfarError(f"{path}: has no class of {missing[0]} ({len(missing)} missing); delete it and run again")
    return np.array([label[file] for file in files], dtype=object)


def show_classes(
    clips: str | Path,
    embeddings: str | Path,
    classes: str | Path,
    table: str | Path,
    figure: str | Path,
    *,
    components: Count,
) -> None:
    """Write the classes of a machine's training clips for a person: a csv table, and a plot of what was clustered."""
    known, (vectors,) = read_views(clips, [embeddings])
    rows = read_table(classes)
    write_text(table, csv_table(rows, ("file", "class", "cluster", "silhouette")))
    place = dict(zip(known["file"], directions(vectors, components)[:, :2], strict=True))
    domain = dict(zip(known["file"], known["domain"], strict=True))
    points = np.array([place[file] for file in rows["file"]])
    draw_classes(points, rows["class"], np.array([domain[file] for file in rows["file"]]), figure)


def draw_classes(points: np.ndarray, classes: np.ndarray, domains: np.ndarray, path: str | Path) -> None:
    """Draw the clips (clips, 2), coloured by class, target clips with a ring, as a png."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name in sorted(set(classes)):
        here = classes == name
        axes.scatter(*points[here].T, s=18, label=f"{name.split('/', 1)[1]} ({here.sum()})")
    target = domains == "target"
    if target.any():
        axes.scatter(*points[target].T, s=70, facecolors="none", edgecolors="k", linewidths=0.8, label="target domain")
    axes.set(xlabel="first principal direction", ylabel="second", title=str(classes[0]).split("/", 1)[0])
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})


def cluster(
    files: Sequence[str], embeddings: np.ndarray, *, components: Count, most: Count, smallest: Count
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cluster (clips,) int and the silhouette (clips,) float of one machine's training clips.

    Ward clustering (scipy) of the first ``components`` PCA scores, L2-normalised, of the embeddings (clips, dims); of
    the cuts into 2…``most`` clusters whose smallest holds ``smallest`` clips, the one with the highest mean silhouette.
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


def named(machine: str, attributes: Sequence[str], clusters: Sequence[int]) -> np.ndarray:
    """Return the class of each clip of a machine, (clips,) of "machine/attributes" or "machine/cluster_k".

    attributes: (clips,) text, "noAttribute" where hidden; clusters: (clips,) int, read only where hidden.
    """
    pairs = zip(attributes, clusters, strict=True)
    names = [f"cluster_{number}" if text == HIDDEN else text for text, number in pairs]
    return np.array([f"{machine}/{name}" for name in names], dtype=object)


def directions(embeddings: np.ndarray, components: int) -> np.ndarray:
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
