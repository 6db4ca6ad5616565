"""Losses of the learned representations, for any embeddings (batch, dims)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import normalize

from nearfar.jobs.kinds import Amount, Positive

TERMS = ("loss", "supcon", "alignment")  # what composite returns, by the names in the logs


def codes(words: Sequence[str]) -> torch.Tensor:
    """Return integer codes, int64 tensor (clips,), of a sequence of words; equal words get equal codes."""
    return torch.from_numpy(np.unique(np.asarray(words, dtype=str), return_inverse=True)[1])


def composite(
    embeddings: torch.Tensor,
    classes: torch.Tensor,
    machines: torch.Tensor,
    domains: torch.Tensor,
    *,
    temperature: Positive,
    weight: Amount,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return supervised_contrastive + weight · alignment and the two terms, three scalars.

    embeddings (batch, dims), of any length; classes, machines, domains: integer codes (batch,).
    """
    contrast = supervised_contrastive(embeddings, classes, temperature)
    distance = alignment(embeddings, machines, domains)
    return contrast + weight * distance, contrast, distance


def supervised_contrastive(embeddings: torch.Tensor, classes: torch.Tensor, temperature: Positive) -> torch.Tensor:
    """Return the supervised contrastive loss L_out (Khosla et al. 2020, eq. 2), a scalar, mean over anchors.

    For anchor i with positives P(i), the others of its class in the batch, and A(i), all others:
    −1/|P(i)| Σ_p [z_i·z_p/τ − log Σ_a exp(z_i·z_a/τ)] with z of unit length. An anchor alone in its class
    has no term and does not count in the mean; without any anchor the loss is 0.
    """
    unit = normalize(embeddings, dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    similarity = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    positive = (classes[:, None] == classes[None, :]) & ~itself
    log_share = similarity - similarity.logsumexp(1, keepdim=True)
    count = positive.sum(1)
    anchors = count > 0
    if not anchors.any():
        return embeddings.sum() * 0.0
    # masked_fill, not a product with the mask: the diagonal is -inf, and -inf * 0 is NaN
    total = log_share.masked_fill(~positive, 0.0).sum(1)
    return -(total[anchors] / count[anchors]).mean()


def alignment(embeddings: torch.Tensor, machines: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
    """Return the mean over machines of ‖source mean − target mean‖² of unit-length embeddings, a scalar.

    domains: (batch,) of two codes. Machines with one domain only in the batch are left out; without any
    machine the loss is 0.
    """
    unit = normalize(embeddings, dim=1)
    first = domains == domains.min()
    distances = []
    for machine in machines.unique():
        one, other = (machines == machine) & first, (machines == machine) & ~first
        if one.any() and other.any():
            distances.append((unit[one].mean(0) - unit[other].mean(0)).square().sum())
    return torch.stack(distances).mean() if distances else embeddings.sum() * 0.0
