"""What is learned once, on the training clips of all training machines: classes, and the LCCR network. File to file."""

import numpy as np

from nearfar.clips import read_clips
from nearfar.files import VectorWriter, read_table, replacing, write_table, write_text
from nearfar.tables import csv_text
from nearfar.views import read_views


def write_classes(clips, embeddings, path, pseudo=True):
    """Write the class of each training clip of a machine: file, class, cluster and silhouette.

    A class is machine and attribute; where the machine hides its attributes, clusters of ``embeddings`` stand in, or,
    without ``pseudo``, the whole machine is one class.
    """
    from nearfar.names import HIDDEN
    from nearfar.pseudo import classes, cluster

    table, (vectors,) = read_views(clips, [embeddings], "train")
    clusters, silhouette = np.zeros(len(vectors), int), np.zeros(len(vectors))
    if pseudo and HIDDEN in table["attribute"]:
        clusters, silhouette = cluster(table["file"], vectors)
    named = classes(table["machine"][0], table["attribute"], clusters)
    write_table(path, {"file": table["file"], "class": named, "cluster": clusters, "silhouette": silhouette})


def show_classes(clips, embeddings, classes, table, figure):
    """Write the classes of a machine's training clips for a person: a csv table, and a plot of what was clustered."""
    from nearfar.pseudo import directions

    known, (vectors,) = read_views(clips, [embeddings], "train")
    rows = read_table(classes)
    fields = ("file", "class", "cluster", "silhouette")
    cells = zip(*(rows[name].astype(str) if name != "silhouette" else rows[name] for name in fields), strict=True)
    write_text(table, csv_text(fields, (dict(zip(fields, row, strict=True)) for row in cells), plain=("silhouette",)))
    place = dict(zip(known["file"], directions(vectors)[:, :2], strict=True))
    domain = dict(zip(known["file"], known["domain"], strict=True))
    points = np.array([place[file] for file in rows["file"]])
    draw_classes(points, rows["class"], np.array([domain[file] for file in rows["file"]]), figure)


def draw_classes(points, classes, domains, path):
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
    axes.scatter(*points[target].T, s=70, facecolors="none", edgecolors="k", linewidths=0.8, label="target domain")
    axes.set(xlabel="first principal direction", ylabel="second", title=str(classes[0]).split("/", 1)[0])
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})


def train_lccr(clips, classes, maps, model, log, *, map_params, params, seed, device):
    """Train the LCCR network on the training clips of all machines and write it and its log.

    clips, classes, maps: paths, a machine each; map_params: how the maps were made.
    Raises NearfarError for a loss that is not finite.
    """
    from nearfar import lccr

    chosen, labels, domains, machines = [], [], [], []
    for clip_table, class_table, map_file in zip(clips, classes, maps, strict=True):
        table = read_clips(clip_table)
        label = dict(zip(*(read_table(class_table)[name] for name in ("file", "class")), strict=True))
        clip_maps = np.load(map_file, mmap_mode="r")
        for row in np.flatnonzero(table["split"] == "train"):
            chosen.append(clip_maps[row])
            labels.append(label[table["file"][row]])
            domains.append(table["domain"][row])
            machines.append(table["machine"][row])
    network, history = lccr.train(chosen, labels, domains, machines, seed=seed, device=device, **params)
    write_table(log, {name: [row[name] for row in history] for name in history[0]})
    lccr.save(network, map_params, model)


def embed_lccr(clips, maps, model, path):
    """Write the LCCR vectors of a machine's clips, each of its own windows alone.

    clips: path of the clip table, whose order the rows of ``maps`` have.
    """
    from nearfar import lccr
    from nearfar.lccr_maps import windows

    network, params = lccr.load(model)
    table = read_clips(clips)
    rows = zip(np.load(maps, mmap_mode="r"), table["frames"], strict=True)
    own = (row[:, :, : windows(frames, **params)] for row, frames in rows)
    with VectorWriter(path) as writer:
        for file, vector in zip(table["file"], lccr.embed(network, own), strict=True):
            writer.add(file, vector)
