"""The state of a training that can be killed at any time: everything that the next epoch depends on, in one file.

It stands in a folder that Snakemake does not know of, since Snakemake deletes the declared outputs of a failed job.
"""

import hashlib
import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError

from nearfar.jobs.files import read_arrays, write_arrays
from nearfar.jobs.provenance import sources

FILE = "state.safetensors"


def digest(settings, files):
    """Return a text that differs when settings (JSON), the content of ``files``, our code or the libraries do."""
    import peft

    about = [settings, torch.__version__, peft.__version__]
    total = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for path in [*files, *sources("src/nearfar/adapter/training.py")]:
        with open(path, "rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def save(folder, identity, network, optimizer, progress):
    """Replace the state in ``folder`` by that of ``network`` (its trainable numbers) and ``optimizer``.

    identity: of digest; progress: a JSON object, with the tensors of an earlier choice under "best" or None there.
    """
    best = progress["best"] or {}
    arrays = {f"best/{name}": value.cpu().numpy() for name, value in best.items()}
    for name, parameter in trainable(network):
        arrays[f"weight/{name}"] = parameter.detach().cpu().numpy()
        for key, value in optimizer.state.get(parameter, {}).items():
            arrays[f"{key}/{name}"] = value.detach().cpu().numpy()
    rest = {key: value for key, value in progress.items() if key != "best"}
    write_arrays(Path(folder) / FILE, arrays, identity=identity, progress=rest)


def resume(folder, identity, network, optimizer):
    """Put the state in ``folder`` into the network and the optimizer; return its progress as saved.

    Returns None, and changes nothing, where there is no state, or one of other settings, inputs or code.
    """
    try:
        arrays, about = read_arrays(Path(folder) / FILE)
    except (OSError, SafetensorError):
        return None
    if about.get("identity") != identity:
        return None
    best = {}
    for key, value in arrays.items():
        kind, name = key.split("/", 1)
        if kind == "best":
            best[name] = torch.tensor(value)
    for name, parameter in trainable(network):
        # copied into torch's own aligned memory: matrix products may depend on the alignment
        parameter.data.copy_(torch.from_numpy(arrays[f"weight/{name}"]))
        if f"step/{name}" in arrays:
            optimizer.state[parameter] = {
                "step": torch.tensor(arrays[f"step/{name}"]).reshape(()),
                **{key: _like(parameter, arrays[f"{key}/{name}"]) for key in ("exp_avg", "exp_avg_sq")},
            }
    return about["progress"] | {"best": best or None}


def remove(folder):
    """Remove the state, once what it led to is in place."""
    shutil.rmtree(folder, ignore_errors=True)


def trainable(network):
    """Return the (name, parameter) pairs that are trained: the adapter and the projection."""
    return [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]


def _like(parameter, array):
    return torch.empty_like(parameter, requires_grad=False).copy_(torch.from_numpy(array))
