"""kNN probe: how well a clip's distance to the nearest training clip tells anomalies, before any detector is fitted.

It reads the labels of test clips, so it describes a representation and chooses nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from nearfar.data.dataset import SPLITS
from nearfar.data.views import read_views
from nearfar.jobs.files import read_table, replacing, write_text
from nearfar.systems.metrics import auc
from nearfar.systems.tables import csv_table

Pair = tuple[str | Path, str | Path]
FIELDS = ("when", "epoch", "machine", "auc_source", "auc_target", "auc_mean")


def distances(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the cosine distance (tests,) of each test vector to the nearest training vector, any domain.

    train: (clips, dims), test: (tests, dims); float64 inside.
    """
    train, test = (_unit(np.asarray(vectors, np.float64)) for vectors in (train, test))
    return 1 - (test @ train.T).max(axis=1)


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def labelled(label: Sequence, domain: Sequence) -> bool:
    """Return whether test clips, (clips,) of "normal" | "anomaly" | None and of domains, have an AUC in a domain."""
    return any(_both(np.asarray(label, object)[np.asarray(domain, object) == d]) for d in ("source", "target"))


def _both(label):
    return {"normal", "anomaly"} <= set(label)


def probe_machine(
    train: np.ndarray, test: np.ndarray, label: Sequence, domain: Sequence, *, machine: str, epoch: int, when: str
) -> dict:
    """Return the row (a dict of FIELDS) of one machine's embeddings.

    train, test: (clips, dims) embeddings; label: (tests,) of "normal" | "anomaly"; domain: (tests,). Each AUC is a
    domain's normal clips against that domain's anomalies, NaN where it lacks one of them; auc_mean is the mean of
    those that are there.
    """
    label, domain = np.asarray(label, object), np.asarray(domain, object)
    scores = distances(train, test)
    row = {"when": when, "epoch": epoch, "machine": machine}
    for name in ("source", "target"):
        own = domain == name
        area = auc(scores[own], label[own] == "anomaly")[0] if _both(label[own]) else np.nan
        row[f"auc_{name}"] = float(area)
    return row | {"auc_mean": float(np.nanmean([row["auc_source"], row["auc_target"]]))}


def probe_files(train: Iterable[Pair], test: Iterable[Pair], *, epoch: int, when: str) -> list[dict]:
    """Return the rows of machines whose test clips are labelled.

    train, test: (path of a clip table, path of features) pairs, one a machine.
    """
    rows = []
    for seen, unseen in zip(train, test, strict=True):
        (table, (vectors,)), (_, (bank,)) = (read_views(clips, [features]) for clips, features in (unseen, seen))
        if labelled(table["label"], table["domain"]):
            about = {"machine": table["machine"][0], "epoch": epoch, "when": when}
            rows.append(probe_machine(bank, vectors, table["label"], table["domain"], **about))
    return rows


def write_probe(
    clips: Mapping[str, Sequence[str]],
    frozen: Mapping[str, Sequence[str]],
    adapted: Sequence[str],
    training: str | Path,
    table: str | Path,
    figure: str | Path,
) -> None:
    """Write the table of the probe before and after, and the plot of a training.

    clips, frozen: dicts from split to paths, one a machine, of clip tables and of the features without the adapter;
    adapted: paths of the features of both splits with it; training: the log of the training; table: csv, figure: png.
    """
    log = read_table(training)
    before = [zip(clips[split], frozen[split], strict=True) for split in SPLITS]
    after = [zip(clips[split], adapted, strict=True) for split in SPLITS]
    rows = probe_files(*before, epoch=0, when="before")
    rows += probe_files(*after, epoch=int(log["epoch"][-1]), when="after")
    write_text(table, csv_table(rows, FIELDS))
    plot(log, rows, figure)


def plot(log: dict[str, np.ndarray], rows: list[dict], path: str | Path) -> None:
    """Draw the loss terms over the epochs, and the probe of each machine, as a png."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for name, label in (("loss", "loss"), ("supcon", "supervised contrastive"), ("alignment", "alignment, unweighted")):
        left.plot(log["epoch"], log[name], marker=".", label=label)
    left.set(xlabel="epoch", ylabel="loss", title="training")
    left.legend(frameon=False)
    for machine in sorted({row["machine"] for row in rows}):
        points = sorted((row["epoch"], row["auc_mean"]) for row in rows if row["machine"] == machine)
        right.plot(*zip(*points, strict=True), marker=".", label=machine)
    right.axhline(0.5, color="0.7", linewidth=0.8)
    right.set(xlabel="epoch (0: frozen backbone)", ylabel="AUC, mean of the domains", title="kNN probe")
    if rows:
        right.legend(frameon=False)
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})
