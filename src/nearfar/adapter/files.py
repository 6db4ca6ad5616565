"""Adapter training, file to file: what the workflow's rule ``adapter`` runs."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from nearfar.adapter import state as adapter_state
from nearfar.adapter import training as adapter
from nearfar.adapter.inputs import read_inputs
from nearfar.adapter.probe import labelled, probe
from nearfar.data.clips import read_clips
from nearfar.errors import NearfarError
from nearfar.jobs.files import write_table

ROWS = pa.schema(
    [("when", pa.string()), ("epoch", pa.int64()), ("machine", pa.string())]
    + [(name, pa.float64()) for name in ("auc_source", "auc_target", "auc_mean")]
)


def train_adapter(
    backbone, clips, classes, inputs, folder, *, settings, seed, device="cpu", state=None, probed=(), log, epochs
):
    """Train the universal adapter and write it, the merged model, the ``log`` and the probe's rows (``epochs``).

    backbone: folder; clips, classes, inputs: paths, one a training machine; folder: where config.json,
    model.safetensors and adapter/ go; settings: dict of adapter.Settings; state: folder, removed in the end; probed:
    (clip table, training inputs, test inputs), paths, of each machine that the probe may see.
    Raises NearfarError as adapter.train does, and for settings that contradict each other.
    """
    chosen = adapter.Settings(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
    if chosen.select == "probe" and not chosen.probe_every:
        raise NearfarError("features.eat.adapter.probe_every: is 0, but select is probe; set it to 1")
    trained, rows, evaluate = read_inputs(clips, inputs, classes), [], None
    if chosen.probe_every:
        evaluate = evaluator(probed)
    files = [*clips, *classes, *inputs, *(path for paths in probed for path in paths)]
    network, history, rows = adapter.train(
        backbone, trained, chosen, seed=seed, device=device, state=state, files=files, evaluate=evaluate
    )
    adapter.save(network, folder)
    write_table(log, {name: [row[name] for row in history] for name in ("epoch", *adapter.TERMS, "chosen")})
    write_table(epochs, pa.Table.from_pylist(rows, ROWS))
    if state:
        adapter_state.remove(Path(state))


def evaluator(probed):
    """Return a function of (trainee, epoch) to the probe's rows of the machines whose test clips are labelled.

    Where several channels are trained, each is a clip of its own to the probe.
    """
    seen = []
    for clips, train, test in probed:
        table = read_clips(clips, "test")
        if labelled(table["label"], table["domain"]):
            label = dict(zip(table["file"], table["label"], strict=True))
            unseen = read_inputs([clips], [test], split="test")
            seen.append((read_inputs([clips], [train]), unseen, np.array([label[file] for file in unseen.files])))

    def evaluate(network, epoch):
        return [
            probe(
                adapter.embeddings(network, known),
                adapter.embeddings(network, unseen),
                label,
                unseen.domains,
                machine=str(unseen.machines[0]),
                epoch=epoch,
            )
            for known, unseen, label in seen
        ]

    return evaluate
