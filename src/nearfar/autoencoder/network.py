"""The autoencoder of the challenge's official baseline, written from its description (docs/method.md, Baseline)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nearfar.autoencoder.frames import DIMS, Frames, windows
from nearfar.data.domains import DOMAINS
from nearfar.errors import NearfarError
from nearfar.jobs.devices import use_device
from nearfar.jobs.files import read_arrays, write_arrays
from nearfar.jobs.kinds import Count, Positive, Share
from nearfar.jobs.progress import bar
from nearfar.jobs.threads import torch_threads
from nearfar.learning.networks import refusing, weights_of, with_weights
from nearfar.learning.schedule import seeded
from nearfar.seeds import seed_for

WIDTHS = (DIMS, *[128] * 4, 8, *[128] * 4)


class Network(nn.Sequential):
    """Autoencoder (windows, 640) → (windows, 640), 267,928 parameters.

    640-128×4-8-128×4-640; each hidden layer, the bottleneck too, is Linear, BatchNorm and ReLU.
    """

    def __init__(self):
        layers = []
        for before, after in zip(WIDTHS, WIDTHS[1:], strict=False):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after, momentum=0.01, eps=1e-3), nn.ReLU()]
        super().__init__(*layers, nn.Linear(WIDTHS[-1], DIMS))


def train(
    frames: Frames, *, epochs: Count, batch: Count, lr: Positive, held_out: Share, seed: int, device: str
) -> tuple[Network, list[dict]]:
    """Return a Network trained on Frames of normal clips and its log, a list of {"epoch", "loss", "held_out"}.

    Adam on the mean squared error in dB². A share ``held_out`` of the windows, drawn at random, is only reported on:
    the last epoch is kept. The seed alone decides the result, to the byte, and torch's global generator is left as it
    was. Raises NearfarError for a loss that is not finite and an absent device.
    """
    use_device(device)
    log = []
    with torch_threads(1):
        network = seeded(seed_for(seed, "weights"), Network).to(device)
        generator = torch.Generator().manual_seed(seed_for(seed, "batches"))
        optimizer = torch.optim.Adam(network.parameters(), lr=lr, fused=True)
        mels = frames.mels.to(device)
        mixed = frames.starts[torch.randperm(len(frames.starts), generator=generator)].to(device)
        held, seen = mixed.tensor_split([max(round(held_out * len(mixed)), 1)])
        progress = bar(range(epochs), "autoencoder", "epoch")
        for epoch in progress:
            order = torch.randperm(len(seen), generator=generator).to(device)
            losses = [_step(network, optimizer, windows(mels, seen[rows])) for rows in _batches(order, batch)]
            row = {
                "epoch": epoch,
                "loss": float(torch.stack(losses).mean()),
                "held_out": _held_out(network, mels, held),
            }
            if not np.isfinite([*row.values()]).all():
                raise NearfarError(f"features.autoencoder.lr: the loss is {row['loss']} in epoch {epoch}; lower lr")
            log.append(row)
            progress.set_postfix({name: f"{row[name]:.2f}" for name in ("loss", "held_out")})
    return network.eval(), log


def _batches(order, batch):
    """The rows of each step; a single row left over is left out, as BatchNorm has no spread of it."""
    return [rows for rows in order.split(batch) if len(rows) > 1]


def _step(network, optimizer, x):
    network.train()
    loss = nn.functional.mse_loss(network(x), x)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def _held_out(network, mels, starts):
    network.eval()
    return sum((residual**2).sum() for residual in residuals_of(network, mels, starts)) / (len(starts) * DIMS)


def residuals_of(network: Network, mels: torch.Tensor, starts: torch.Tensor, batch: int = 4096) -> Iterator[np.ndarray]:
    """Yield what the network leaves of the windows at ``starts``, output less input, float64 (≤ batch, 640) in dB.

    network: in evaluation mode; mels: (frames, 128), on any device.
    """
    device = next(network.parameters()).device
    for rows in starts.split(batch):
        with torch.inference_mode():
            x = windows(mels, rows).to(device)
            residual = (network(x) - x).double().cpu().numpy()
        yield residual


def save(network: Network, whitenings: dict[str, np.ndarray], path: str | Path) -> None:
    """Write a network and the whitenings (dict from domain to (rank, 640)) as one safetensors file."""
    arrays = {f"network/{name}": value for name, value in weights_of(network).items()}
    write_arrays(path, arrays | {f"whitening/{domain}": value for domain, value in whitenings.items()})


def load(path: str | Path) -> tuple[Network, dict[str, np.ndarray]]:
    """Return the network, in evaluation mode, and the whitenings from a file made by save.

    Raises NearfarError, naming the file, where it is missing, not such a file, or of another network.
    """
    with refusing(path, "an autoencoder"):
        arrays, _ = read_arrays(path)
        network = Network()
        weights = {name: arrays[f"network/{name}"] for name in network.state_dict()}
        there = [domain for domain in DOMAINS if f"whitening/{domain}" in arrays]
        whitenings = {domain: arrays[f"whitening/{domain}"] for domain in there or DOMAINS}  # one there must be
        return with_weights(network, weights), whitenings
