"""The LCCR network on the clips of machines, file to file: trained once, on all training machines."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from nearfar.data.clips import read_clips
from nearfar.jobs.files import write_table, write_vectors
from nearfar.lccr.maps import windows
from nearfar.lccr.network import embed, load, save, train
from nearfar.learning.classes import read_classes


def train_lccr(
    clips: Iterable[str | Path],
    classes: Iterable[str | Path],
    maps: Iterable[str | Path],
    model: str | Path,
    log: str | Path,
    *,
    map_params: dict,
    params: dict,
    seed: int,
    device: str,
) -> None:
    """Train the LCCR network on the training clips of all machines and write it and its log.

    clips, classes, maps: paths, a machine each; map_params: how the maps were made; params: of train.
    Raises NearfarError for a clip without a class and for a loss that is not finite.
    """
    chosen, labels, domains, machines = [], [], [], []
    for clip_table, class_table, map_file in zip(clips, classes, maps, strict=True):
        table, array = read_clips(clip_table), np.load(map_file, mmap_mode="r")
        rows = np.flatnonzero(table["split"] == "train")
        chosen += [array[row] for row in rows]
        labels += list(read_classes(class_table, table["file"][rows]))
        domains += list(table["domain"][rows])
        machines += list(table["machine"][rows])
    network, history = train(chosen, labels, domains, machines, seed=seed, device=device, **params)
    write_table(log, pa.Table.from_pylist(history))
    save(network, map_params, model)


def embed_lccr(clips: str | Path, maps: str | Path, model: str | Path, path: str | Path) -> None:
    """Write the LCCR vectors of a machine's clips, each of its own windows alone.

    clips: path of the clip table, whose order the rows of ``maps`` have.
    """
    network, params = load(model)
    table = read_clips(clips)
    rows = zip(np.load(maps, mmap_mode="r"), table["frames"], strict=True)
    own = (row[:, :, : windows(frames, n_fft=params["n_fft"], hop=params["hop"])] for row, frames in rows)
    write_vectors(path, table["file"], embed(network, own))
