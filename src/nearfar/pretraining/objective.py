"""EAT's utterance-frame objective: a student that sees a fifth of the patches predicts what its own average sees.

Chen et al., EAT (IJCAI 2024), after data2vec 2.0 (Baevski et al., 2023). B clips, C clones of each, N patches, V of
them visible, D dims. Mask and noise come from generators that the caller seeds. The statistics term is ours: what the
detectors are given is the mean over a column's patches, and nothing in EAT's objective keeps the spectrum in that.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from nearfar.backbones.eat import EAT
from nearfar.backbones.fbank import ROWS

KEEP, BLOCK = 0.2, 5  # share of the patches that the student sees; side of the squares of visible patches
SURPLUS = 0.07  # share by which the squares are more than that: they overlap
DEPTH, KERNEL, GROUPS = 6, 3, 16  # of the decoder's convolutions
MASK_NOISE = 0.01  # sd of the decoder's input at masked patches


def inverse_block_masks(count: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Return masks, bool (count, 8 · columns), True where a patch is hidden, all with equally many visible ones.

    Squares of visible patches are opened around random centres (5 on a grid of 64 columns) and cut at the edges;
    then single patches are shown or hidden until exactly a fifth, rounded down but at least one, is visible.
    """
    patches = ROWS * columns
    squares = max(1, int(patches * (KEEP + SURPLUS) / BLOCK**2))
    visible = np.zeros((count, columns, ROWS), bool)
    for mask in visible:
        for centre in rng.integers(0, patches, squares):
            column, row = (max(0, place - BLOCK // 2) for place in divmod(int(centre), ROWS))
            column_end, row_end = (place + BLOCK // 2 + 1 for place in divmod(int(centre), ROWS))
            mask[column:column_end, row:row_end] = True
    visible = visible.reshape(count, patches)
    for mask in visible:
        _show_exactly(mask, max(1, int(patches * KEEP)), rng)
    return ~visible


def _show_exactly(visible, wanted, rng):
    """Add or drop single patches of a mask (N,), in place, until ``wanted`` are visible."""
    surplus = int(visible.sum()) - wanted
    changed = rng.choice(np.flatnonzero(visible == (surplus > 0)), abs(surplus), replace=False)
    visible[changed] = surplus < 0


class Decoder(nn.Module):
    """Convolutions on the grid of time columns and mel patches, then a linear layer; used for pre-training only."""

    def __init__(self, dim: int):
        super().__init__()
        convolutions = [nn.Conv2d(dim, dim, KERNEL, padding=KERNEL // 2, groups=GROUPS) for _ in range(DEPTH)]
        self.blocks = nn.ModuleList([nn.ModuleList([convolution]) for convolution in convolutions])
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, N, D) of a whole grid, masked patches included, to predictions (B, N, D)."""
        x = tokens.unflatten(1, (-1, ROWS)).permute(0, 3, 1, 2)  # (B, D, columns, 8), the dims last in memory: fast
        for (convolution,) in self.blocks:
            y = convolution(x).permute(0, 2, 3, 1)
            x = x + F.gelu(F.layer_norm(y, y.shape[-1:])).permute(0, 3, 1, 2)
        return self.proj(x.permute(0, 2, 3, 1).flatten(1, 2))


@torch.no_grad()
def targets(teacher: EAT, patches: torch.Tensor) -> torch.Tensor:
    """Return the targets (B, N, D) that a teacher makes of all patches (B, N, D) of its clips.

    The raw MLP outputs of all blocks without CLS, each normalised over the patches and averaged, then normalised
    over the dims.
    """
    layers = [F.instance_norm(t[:, 1:].transpose(1, 2)) for _, t in teacher.block_outputs(patches) if t is not None]
    y = torch.stack(layers).mean(0).transpose(1, 2)
    return F.layer_norm(y, y.shape[-1:])


def predictions(
    student: EAT, decoder: Decoder, patches: torch.Tensor, masks: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the student predicts: of each patch (B · C, N, D), and CLS (B · C, D) of the whole clip.

    patches: (B, N, D) with positions; masks: bool (B · C, N), the clones of a clip one after the other;
    noise: (B · C, N, D), what the decoder gets at masked patches.
    """
    clones = len(masks) // len(patches)
    copies = patches.repeat_interleave(clones, 0)
    seen = copies[~masks].view(len(masks), -1, patches.shape[2])  # (B · C, V, D)
    *_, (x, _) = student.block_outputs(seen)
    grid = noise.masked_scatter(~masks[..., None], x[:, 1:])
    return decoder(grid), x[:, 0]


def losses(frames: torch.Tensor, cls: torch.Tensor, y: torch.Tensor, masks: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the objective's terms as a dict of scalars.

    frames: (B · C, N, D); cls: (B · C, D); y: targets (B, N, D); masks: bool (B · C, N). ``loss`` is the mean over
    the masked patches of the frame loss plus the sum over the batch of the utterance loss, each a squared error summed
    over the dims and divided by √D; ``frame`` and ``utterance`` are these two. ``target_sd`` and ``prediction_sd``,
    means over the dims of the standard deviation over the masked patches, fall to zero in a collapse.
    """
    y = y.repeat_interleave(len(masks) // len(y), 0)
    predicted, wanted, scale = frames[masks], y[masks], y.shape[2] ** 0.5  # (masked patches, D)
    frame = (predicted - wanted).square().sum() / scale / len(wanted)
    utterance = (cls - y.mean(1)).square().sum() / scale
    return {
        "loss": frame + utterance,
        "frame": frame,
        "utterance": utterance,
        "target_sd": _spread(wanted),
        "prediction_sd": _spread(predicted.detach()),
    }


def statistics(mels: torch.Tensor, frames: int) -> torch.Tensor:
    """Return the mean and the standard deviation (B, 256) of log-mels (B, T, 128) over their first ``frames``."""
    real = mels[:, :frames]
    return torch.cat([real.mean(1), real.std(1, correction=0)], 1)


def statistics_loss(
    student: EAT, head: nn.Module, patches: torch.Tensor, frames: int, wanted: torch.Tensor
) -> torch.Tensor:
    """Return the loss of a linear ``head`` that predicts ``wanted`` from the pooled embedding of whole clips.

    patches: (B, N, D) with positions, none hidden; frames: their frames before padding; wanted: (B, S). The embedding
    (B, 2D) is the one that extraction takes by default, so what the head can read in it, a Mahalanobis distance can
    too. A squared error summed over S and divided by √S, the mean over the batch.
    """
    *_, (tokens, _) = student.block_outputs(patches)
    error = head(student.pool(tokens, frames)) - wanted
    return error.square().sum() / wanted.shape[1] ** 0.5 / len(wanted)


def _spread(x):
    return (x.var(0) + 1e-6).sqrt().mean()


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """Move every parameter of the teacher towards the student's: decay · teacher + (1 - decay) · student."""
    for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)
