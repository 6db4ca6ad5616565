"""The LCCR network on the clips of machines, file to file: trained once, on all training machines."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from nearfar.data.clips import read_clips
from nearfar.features.files import renew
from nearfar.jobs.devices import use_device
from nearfar.jobs.files import write_table
from nearfar.jobs.progress import bar
from nearfar.lccr.maps import read_maps
from nearfar.lccr.network import embed, load, train
from nearfar.learning.classes import read_classes
from nearfar.learning.networks import save_network


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

    clips (of training clips), classes, maps: paths, a machine each; map_params: how the maps were made; params: of
    train. Raises NearfarError for a clip without a class and for a loss that is not finite.
    """
    chosen, labels, domains, machines = [], [], [], []
    for clip_table, class_table, map_file in zip(clips, classes, maps, strict=True):
        table, array = read_clips(clip_table), np.load(map_file, mmap_mode="r")
        chosen += list(array)
        labels += list(read_classes(class_table, table["file"]))
        domains += list(table["domain"])
        machines += list(table["machine"])
    network, history = train(chosen, labels, domains, machines, seed=seed, device=device, **params)
    write_table(log, pa.Table.from_pylist(history))
    save_network(network, map_params, model)


def embed_lccr(clips: Iterable[str], model: str | Path, path: str | Path, *, device: str, made: str) -> None:
    """Write the LCCR vectors of a machine's clips.

    clips: paths of the clip tables; made: see renew. Raises NearfarError for an absent device.
    """
    use_device(device)
    network, params = load(model)
    network.to(device)

    def compute(chosen):
        for vector in embed(network, read_maps(bar(chosen["place"], "lccr"), **params)):
            yield [vector]

    renew(read_clips(clips), {"pair": path}, made, compute)
