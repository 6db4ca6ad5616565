"""The classifier on the clips of machines, file to file: trained once a fold, on all training machines."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from nearfar.classifier.inputs import inputs_of, read_inputs
from nearfar.classifier.network import Settings, embed, load, train
from nearfar.data.clips import read_clips
from nearfar.data.domains import settled
from nearfar.detectors.folds import fold_of
from nearfar.errors import NearfarError, error_prefix
from nearfar.features.files import renew
from nearfar.jobs.devices import use_device
from nearfar.jobs.files import write_table
from nearfar.jobs.progress import bar
from nearfar.jobs.threads import torch_threads
from nearfar.learning.classes import read_classes
from nearfar.learning.networks import save_network
from nearfar.seeds import seed_for

LOG = pa.schema({"epoch": pa.int64(), "loss": pa.float64()})


def seen_by(table: dict[str, np.ndarray], fold: int, folds: int, seed: int, few: str = "refuse") -> np.ndarray:
    """Return the rows of a machine's training clips that the network of ``fold`` is trained on: the other folds' clips.

    They are dealt as nearfar.detectors.detection has its detectors dealt, with the same ``seed`` of the configuration.
    few: "refuse" raises NearfarError, naming the machine, where a domain has fewer training clips than there are folds;
    "cap" deals what there is.
    """
    machine = table["machine"][0]
    domain = settled(table["domain"]) if few == "cap" else table["domain"]
    with error_prefix(f"{machine}: features.classifier"):
        dealt = fold_of(table["file"], domain, table["recording"], folds, seed_for(seed, machine), few)
    return np.flatnonzero(dealt != fold)


def train_fold(
    clips: Sequence[str],
    classes: Sequence[str],
    images: Sequence[str],
    spectra: Sequence[str],
    model: str | Path,
    log: str | Path,
    *,
    fold: int,
    folds: int,
    few: str,
    inputs: dict,
    settings: dict,
    seed: int,
    device: str,
    state: str | Path,
) -> None:
    """Train the network that does not see the clips of ``fold`` on all machines, and write it and its log.

    clips (of training clips), classes, images, spectra: paths, one a training machine; few: see seen_by, and with "cap"
    a single class, of which there is nothing to tell apart, leaves the network untrained; inputs: how
    the inputs were made; settings: of Settings; state: file of an unfinished training, removed in the end. Raises
    NearfarError as train and seen_by do.
    """
    pairs, labels, everyone = [], [], set()
    for clip_table, class_table, *arrays in zip(clips, classes, images, spectra, strict=True):
        table, given = read_clips(clip_table), list(read_inputs(clip_table, *arrays, inputs["hop"]))
        rows = seen_by(table, fold, folds, seed, few)
        pairs += [given[row] for row in rows]
        named = read_classes(class_table, table["file"])
        labels += [named[row] for row in rows]
        everyone.update(named)
    if few == "cap" and len(set(labels)) == 1:
        if fold == 0 or len(everyone) > 1:  # what holds for all folds is said once
            print(f"nearfar: {labels[0]}: the only class, so the classifier stays as it was drawn", file=sys.stderr)
        settings = settings | {"epochs": 0}
    network, history = train(
        pairs,
        labels,
        Settings(**settings),
        seed=seed_for(seed, "fold", fold),
        device=device,
        state=state,
        files=[*clips, *classes, *images, *spectra],
    )
    write_table(log, pa.Table.from_pylist(history, LOG))
    save_network(network, inputs, model, half=True)  # three of them are half of an exported system
    Path(state).unlink(missing_ok=True)


def embed_classifier(
    clips: Sequence[str], models: Sequence[str | Path], path: str | Path, *, channel: str, device: str, made: str
) -> None:
    """Write the embeddings of a machine's clips, (folds, dims) each, one by the network of each fold in ``models``.

    clips: paths of the clip tables; made: see renew. Raises NearfarError for an absent device and for an embedding that
    is not finite.
    """
    use_device(device)
    loaded = [load(model) for model in models]
    networks = [network.to(device) for network, _ in loaded]

    def compute(chosen):
        given = inputs_of(bar(chosen["place"], "classifier"), channel, **loaded[0][1])
        for place, vectors in zip(chosen["place"], embed(networks, given), strict=True):
            if not np.isfinite(vectors).all():
                raise NearfarError(f"{place}: its embedding is not finite; check the recording")
            yield [vectors]

    with torch_threads(1):
        renew(read_clips(clips), {channel: path}, made, compute)
