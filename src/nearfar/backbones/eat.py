"""EAT (Chen et al., IJCAI 2024) as one native torch model that reads the hub's config.json and model.safetensors.

The body is a post-norm vision transformer. Its parameters bear the names of the hub's state dict, so that a
checkpoint loads strictly: every key is used and every parameter is set, or loading fails.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from nearfar.backbones.base import Backbone
from nearfar.backbones.fbank import MELS, PATCH, ROWS, eat_inputs, input_length
from nearfar.errors import NearfarError

DEFAULTS = {  # EAT-base, pre-trained
    "embed_dim": 768,
    "depth": 12,
    "num_heads": 12,
    "mlp_ratio": 4.0,
    "qkv_bias": True,
    "norm_eps": 1e-6,
    "max_length": 768,  # time columns that have a position
    "num_classes": 527,
    "model_variant": "pretrain",
}
FIXED = {  # what a config.json may say of EAT only with these values
    "patch_size": PATCH,
    "stride": PATCH,
    "in_chans": 1,
    "mel_bins": MELS,
    "layer_norm_first": False,
    "norm_affine": True,
    "fixed_positions": True,
}


class Attention(nn.Module):
    """Multi-head self-attention; qkv and proj are called as modules, so that peft can wrap them."""

    def __init__(self, dim: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, L, D) to (B, L, D)."""
        B, L, D = x.shape
        q, k, v = self.qkv(x).view(B, L, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)  # (B, heads, L, d)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(B, L, D))


class Mlp(nn.Module):
    """Two linear layers around an exact (erf) GELU."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, L, D) to (B, L, D)."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Post-norm transformer block."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        dim, eps = settings["embed_dim"], settings["norm_eps"]
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, settings["num_heads"], settings["qkv_bias"])
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, int(dim * settings["mlp_ratio"]))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the block's output and the raw MLP output t, both (B, L, D)."""
        r = self.norm1(x + self.attn(x))
        t = self.mlp(r)
        return self.norm2(r + t), t


class PatchEncoder(nn.Module):
    """Log-mel to patches: one convolution whose kernel is its stride."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, dim, kernel_size=PATCH, stride=PATCH)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        """(B, 1, T, 128) to (B, N, D) with N = T / 16 · 8 and token index = 8 · time column + mel patch."""
        return self.proj(mels).flatten(2).transpose(1, 2)


class Positions(nn.Module):
    """The frozen sin-cos positions, stored in the checkpoint."""

    def __init__(self, columns: int, dim: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.empty(1, ROWS * columns, dim), requires_grad=False)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Add to (B, N, D) the first N positions: a shorter clip takes a prefix, nothing is interpolated."""
        return patches + self.positions[:, : patches.shape[1]]


class EAT(Backbone):
    """The encoder: log-mel (B, 1, T, 128), T a multiple of 16, to tokens (B, 1 + N, D), the CLS token first.

    ``config`` is the content of the hub's config.json; what it leaves out is as in EAT-base. A fine-tuned model
    (``model_variant: finetune``) also holds ``fc_norm`` and ``head``; its features are the tokens all the same.
    The hub's dropout rates, all zero at evaluation, are not modelled. A clip longer than the positions is refused.
    """

    family, defaults, fixed, prefix, leading = "eat", DEFAULTS, FIXED, "model.", 1

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        settings = self.settings
        dim, eps = settings["embed_dim"], settings["norm_eps"]
        self.extra_tokens = nn.Parameter(torch.empty(1, 1, dim))  # CLS
        self.local_encoder = PatchEncoder(dim)
        self.fixed_positional_encoder = Positions(settings["max_length"], dim)
        self.pre_norm = nn.LayerNorm(dim, eps=eps)
        self.blocks = nn.ModuleList([Block(settings) for _ in range(settings["depth"])])
        if settings["model_variant"] == "finetune":
            self.fc_norm = nn.LayerNorm(dim, eps=eps)
            self.head = nn.Linear(dim, settings["num_classes"])

    @classmethod
    def check(cls, config: dict[str, Any]) -> dict[str, Any]:
        """Return the settings; raise NearfarError for what this model is not."""
        settings = super().check(config)
        dim, heads = settings["embed_dim"], settings["num_heads"]
        if dim % math.lcm(4, heads):
            raise NearfarError(f"embed_dim: {dim} is not a multiple of 4 and of num_heads ({heads}); choose another")
        if settings["model_variant"] not in ("pretrain", "finetune"):
            raise NearfarError(
                f"model_variant: {settings['model_variant']!r} is neither 'pretrain' nor 'finetune'; mend it"
            )
        return settings

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def patches(self, mels: torch.Tensor) -> torch.Tensor:
        """Return the patches (B, N, D) of log-mels (B, 1, T, 128), with their positions and without CLS."""
        most = self.fixed_positional_encoder.positions.shape[1] // ROWS
        if mels.shape[2] > most * PATCH:
            raise NearfarError(
                f"clip of {mels.shape[2]} frames is longer than the {most * PATCH} frames (10 ms) that this EAT has"
                " positions for (max_length); cut the clip"
            )
        return self.fixed_positional_encoder(self.local_encoder(mels))

    def states(self, mels: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the tokens (B, 1 + N, D) that enter the first block, then those that leave each block."""
        return (x for x, _ in self.block_outputs(self.patches(mels)))

    def block_outputs(self, patches: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """Yield each of the states of ``patches`` (B, N, D), which carry their positions and may be any subset.

        Each comes with the raw MLP output t (B, 1 + N, D) of its block, the target of EAT's pre-training, and None at
        the first.
        """
        x = self.pre_norm(torch.cat([self.extra_tokens.expand(len(patches), -1, -1), patches], 1))
        yield x, None
        for block in self.blocks:
            x, t = block(x)
            yield x, t

    def input_length(self, frames: int) -> int:
        """Return the frames that EAT is given for a clip of ``frames``: whole columns, and 1024 for 10 s."""
        return input_length(frames)

    def inputs(self, waves: Sequence[torch.Tensor], length: int | None = None) -> torch.Tensor:
        """Return the input (B, 1, T, 128) of B waveforms (samples,) in [-1, 1], padded or cut to T = ``length``."""
        return eat_inputs(waves, length)

    def draw(self, name: str, parameter: nn.Parameter, generator: torch.Generator) -> None:
        """Set a parameter of an untrained model; the positions are EAT's."""
        if parameter is self.fixed_positional_encoder.positions:
            parameter.data = sincos(parameter.shape[1] // ROWS, parameter.shape[2])
        else:
            super().draw(name, parameter, generator)


def sincos(columns: int, dim: int) -> torch.Tensor:
    """Return EAT's positions (1, 8 · columns, dim): the first half encodes the mel patch, the second the time.

    All in float32, as the stored ones were made: their largest angles are 5e-6 off the exact values.
    """
    omega = 1 / 10000 ** (torch.arange(dim // 4, dtype=torch.float32) / (dim / 4))

    def encode(index: torch.Tensor) -> torch.Tensor:
        angle = torch.outer(index.float(), omega)
        return torch.cat([angle.sin(), angle.cos()], 1)  # (8 · columns, dim / 2)

    mel = torch.arange(ROWS).repeat(columns)
    time = torch.arange(columns).repeat_interleave(ROWS)
    return torch.cat([encode(mel), encode(time)], 1)[None]
