"""Adapter training, file to file: what the workflow's rule ``adapter`` runs."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from nearfar.adapter.inputs import read_inputs
from nearfar.adapter.training import Settings, save, train
from nearfar.jobs.files import write_table


def train_adapter(
    backbone: str | Path,
    clips: Sequence[str],
    classes: Sequence[str],
    inputs: Sequence[str],
    folder: str | Path,
    *,
    settings: dict,
    seed: int,
    device: str,
    state: str | Path,
    log: str | Path,
) -> None:
    """Train the universal adapter and write it, the merged model and the ``log``.

    backbone: folder; clips, classes, inputs: paths, one a training machine; folder: where config.json,
    model.safetensors and adapter/ go; settings: of Settings; state: file of an unfinished training, removed in the
    end. Raises NearfarError as train does.
    """
    trained = read_inputs(clips, inputs, classes)
    network, history = train(
        backbone,
        trained,
        Settings(**settings),
        seed=seed,
        device=device,
        state=state,
        files=[*clips, *classes, *inputs],
    )
    save(network, folder)
    write_table(log, pa.Table.from_pylist(history))
    Path(state).unlink(missing_ok=True)
