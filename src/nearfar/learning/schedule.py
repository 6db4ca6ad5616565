"""How every training here begins and goes on: first weights by a seed, the learning rate, a step down the loss."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from nearfar.errors import NearfarError
from nearfar.jobs.kinds import Amount, Share


def seeded(seed: int, make: Callable[..., nn.Module], *arguments: int) -> nn.Module:
    """Return the module ``make(*arguments)``, its first weights drawn from ``seed``.

    torch's global generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(*arguments)


def warmup_cosine(done: Share, warmup: Share) -> float:
    """Return the share of the highest learning rate after the share ``done`` of all steps.

    It rises linearly over the share ``warmup`` of the steps, then falls as half a cosine to 0.
    """
    if done < warmup:
        return done / warmup
    return float(0.5 + 0.5 * np.cos(np.pi * (done - warmup) / max(1 - warmup, 1e-9)))


def set_rate(optimizer: torch.optim.Optimizer, rate: Amount) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def descend(optimizer: torch.optim.Optimizer, losses: Sequence[torch.Tensor], *, key: str, epoch: int) -> list[float]:
    """Take one step down the first of the ``losses``, scalars; return them all as floats.

    Raises NearfarError, which names ``key`` of the configuration and the epoch, where one of them is not finite.
    """
    values = [float(loss.detach()) for loss in losses]
    if not np.isfinite(values).all():
        raise NearfarError(f"{key}: the loss is {values[0]} in epoch {epoch}; lower lr")
    optimizer.zero_grad()
    losses[0].backward()
    optimizer.step()
    return values
