"""The LCCR network on the clips of machines, file to file: trained once, on all training machines."""

import numpy as np

from nearfar.data.clips import read_clips
from nearfar.jobs.files import read_table, write_table, write_vectors


def train_lccr(clips, classes, maps, model, log, *, map_params, params, seed, device):
    """Train the LCCR network on the training clips of all machines and write it and its log.

    clips, classes, maps: paths, a machine each; map_params: how the maps were made.
    Raises NearfarError for a loss that is not finite.
    """
    from nearfar.lccr import network as lccr

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
    from nearfar.lccr import network as lccr
    from nearfar.lccr.maps import windows

    network, params = lccr.load(model)
    table = read_clips(clips)
    rows = zip(np.load(maps, mmap_mode="r"), table["frames"], strict=True)
    own = (row[:, :, : windows(frames, **params)] for row, frames in rows)
    write_vectors(path, table["file"], lccr.embed(network, own))
