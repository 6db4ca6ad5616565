"""Small networks as files: safetensors of their weights, with the parameters of what they are given."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from nearfar.errors import NearfarError
from nearfar.jobs.files import read_arrays, write_arrays


def weights_of(network: nn.Module, half: bool = False) -> dict[str, np.ndarray]:
    """Return the weights of a network, dict from name to array; half: those of its layers, the bulk, as float16."""
    state = {name: value.cpu() for name, value in network.state_dict().items()}
    return {name: (value.half() if half and value.ndim > 1 else value).numpy() for name, value in state.items()}


def with_weights(network: nn.Module, arrays: dict[str, np.ndarray]) -> nn.Module:
    """Return the network, in evaluation mode, with weights as weights_of returned them.

    Raises KeyError, RuntimeError or ValueError for weights of another network.
    """
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    # safetensors' numpy side knows no 0-d arrays, hence the reshape; it refuses another size
    network.load_state_dict({name: torch.from_numpy(value).reshape(shapes[name]) for name, value in arrays.items()})
    return network.eval()


def save_network(network: nn.Module, params: dict[str, Any], path: str | Path, half: bool = False) -> None:
    """Write a network and the parameters of its inputs as one safetensors file; half: as weights_of takes it."""
    write_arrays(path, weights_of(network, half), params=params)


def load_network(path: str | Path, what: str, make: Callable[[dict], nn.Module]) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network, ready to embed, and the parameters of its inputs from a file made by save_network.

    what: a network of that kind in words; make: from the parameters to an untrained one. Raises NearfarError, naming
    the file, where it is missing, not such a file, or of another network.
    """
    with refusing(path, what):
        arrays, metadata = read_arrays(path)
        params = metadata["params"]
        return with_weights(make(params), arrays), params


@contextmanager
def refusing(path: str | Path, what: str) -> Iterator[None]:
    """Raise NearfarError, naming the file, where what is read in the block is no file of such a network."""
    try:
        yield
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise NearfarError(f"{path}: not {what} of this version ({reason}); train it again") from error
