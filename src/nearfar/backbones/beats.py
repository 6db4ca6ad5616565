"""BEATs (Chen et al., ICML 2023) as one native torch model that reads the published {"cfg", "model"} checkpoints.

Its parameters bear the names of the published state dict and load strictly: every key is used, or known to be no
part of the encoder, and every parameter is set, or loading fails. Checkpoints are pickles; they are read with
torch's weights_only alone, once, and kept as config.json and model.safetensors.
"""

# Native, not openbeats' BeatsEncoder: that imports transformers (14 s of CPU where Python keeps no bytecode), takes
# 1.3 times the CPU time of this one at batch 4, applies dropout at evaluation in its flash attention, draws from
# numpy's global generator in every pass, repeats short clips in silence, and averages no chosen layers.
# tests/unit/backbones/test_beats.py holds the two equal.

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torchaudio.compliance import kaldi

from nearfar.backbones.base import Backbone
from nearfar.backbones.checkpoints import renamed
from nearfar.backbones.fbank import MELS, PATCH, RATE, SHIFT, WINDOW
from nearfar.errors import NearfarError

SHORTEST = WINDOW + (PATCH - 1) * SHIFT  # samples of one patch
DEFAULTS = {  # of the published code, for what a checkpoint's cfg leaves out
    "embed_dim": 512,  # of a patch
    "conv_bias": False,
    "encoder_layers": 12,
    "encoder_embed_dim": 768,
    "encoder_ffn_embed_dim": 3072,
    "encoder_attention_heads": 12,
    "deep_norm": False,
    "conv_pos": 128,
    "conv_pos_groups": 16,
    "relative_position_embedding": False,
    "num_buckets": 320,
    "max_distance": 1280,
    "gru_rel_pos": False,
    "fbank_mean": 15.41663,
    "fbank_std": 6.55582,
}
PUBLISHED = {  # what the published checkpoints set, for an untrained one
    "deep_norm": True,
    "relative_position_embedding": True,
    "max_distance": 800,
    "gru_rel_pos": True,
}
FIXED = {  # what a cfg may say of BEATs only with these values
    "input_patch_size": PATCH,
    "activation_fn": "gelu",
    "layer_norm_first": False,
}
NO_FEATURES = {  # known keys outside the encoder: a fine-tuned model's head, and openbeats' constant padding masks
    "predictor.weight",
    "predictor.bias",
    "patch_embedding_pad.weight",
    "raw2fbank_pad.weight",
}
BIAS = "encoder.layers.{}.self_attn.relative_attention_bias.weight"  # one, of layer 0; saved with every layer
RENAMED = {  # what newer versions of torch call the two parts of a normed weight
    "encoder.pos_conv.0.parametrizations.weight.original0": "encoder.pos_conv.0.weight_g",
    "encoder.pos_conv.0.parametrizations.weight.original1": "encoder.pos_conv.0.weight_v",
}


class PositionConv(nn.Module):
    """Grouped convolution over the tokens, its weight g · v / |v| normed at each place of the kernel."""

    def __init__(self, dim: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.bias = nn.Parameter(torch.empty(dim))
        self.weight_g = nn.Parameter(torch.empty(1, 1, kernel))
        self.weight_v = nn.Parameter(torch.empty(dim, dim // groups, kernel))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, N, D) to (B, N, D)."""
        weight = self.weight_g * self.weight_v / self.weight_v.norm(dim=(0, 1), keepdim=True)
        y = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=weight.shape[2] // 2, groups=self.groups)
        return F.gelu(y[:, :, : x.shape[1]].transpose(1, 2))  # an even kernel gives one place too many


class BiasTable(nn.Module):
    """A bias for each bucket of offsets and each head.

    What nn.Embedding is; but that draws its first values even where there is no storage, which imports torch._dynamo.
    """

    def __init__(self, count: int, heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, heads))

    def forward(self, bucket: torch.Tensor) -> torch.Tensor:
        """Bucket numbers (N, N) to biases (heads, N, N)."""
        return self.weight[bucket].permute(2, 0, 1)


class Attention(nn.Module):
    """Multi-head self-attention with a relative position bias that each query gates; linears may be wrapped by peft."""

    def __init__(self, settings: dict[str, Any], first: bool) -> None:
        super().__init__()
        dim, self.heads = settings["encoder_embed_dim"], settings["encoder_attention_heads"]
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(dim, dim) for _ in range(4))
        if settings["gru_rel_pos"]:
            self.grep_linear = nn.Linear(dim // self.heads, 8)
            self.grep_a = nn.Parameter(torch.empty(1, self.heads, 1, 1))
        if settings["relative_position_embedding"] and first:
            self.relative_attention_bias = BiasTable(settings["num_buckets"], self.heads)

    def forward(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """(B, N, D) to (B, N, D); ``bias`` is (heads, N, N) or None."""
        q, k, v = (
            linear(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, d)
            for linear in (self.q_proj, self.k_proj, self.v_proj)
        )
        if bias is not None:
            bias = self._gate(q) * bias
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def _gate(self, q: torch.Tensor) -> torch.Tensor | int:
        """Return what each query (B, heads, N, d) multiplies its bias by: (B, heads, N, 1), or 1 without gates."""
        if not hasattr(self, "grep_linear"):
            return 1
        a, b = self.grep_linear(q).unflatten(3, (2, 4)).sum(-1).sigmoid().chunk(2, -1)
        return a * (b * self.grep_a - 1) + 2


class Layer(nn.Module):
    """Post-norm transformer layer; deep norm scales what goes around each half by (2 · layers)^¼."""

    def __init__(self, settings: dict[str, Any], first: bool) -> None:
        super().__init__()
        dim, hidden = settings["encoder_embed_dim"], settings["encoder_ffn_embed_dim"]
        self.alpha = (2 * settings["encoder_layers"]) ** 0.25 if settings["deep_norm"] else 1
        self.self_attn = Attention(settings, first)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """(B, N, D) to (B, N, D); ``bias`` is (heads, N, N) or None."""
        x = self.self_attn_layer_norm(self.alpha * x + self.self_attn(x, bias))
        return self.final_layer_norm(self.alpha * x + self.fc2(F.gelu(self.fc1(x))))


class Encoder(nn.Module):
    """The transformer: convolutional positions, then the layers, which share one relative position bias."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        dim, layers = settings["encoder_embed_dim"], settings["encoder_layers"]
        self.max_distance = settings["max_distance"]
        self.pos_conv = nn.Sequential(PositionConv(dim, settings["conv_pos"], settings["conv_pos_groups"]))
        self.layer_norm = nn.LayerNorm(dim)
        self.layers = nn.ModuleList([Layer(settings, first=number == 0) for number in range(layers)])

    def forward(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the tokens (B, N, D) that enter the first layer, then those that leave each layer."""
        x = self.layer_norm(x + self.pos_conv(x))
        yield x
        bias = self._bias(x.shape[1])
        for layer in self.layers:
            x = layer(x, bias)
            yield x

    def _bias(self, tokens: int) -> torch.Tensor | None:
        """Return the relative position bias (heads, N, N) of N ``tokens``; None for a model without."""
        table = getattr(self.layers[0].self_attn, "relative_attention_bias", None)
        if table is None:
            return None
        place = torch.arange(tokens, device=table.weight.device)
        return table(buckets(place - place[:, None], len(table.weight), self.max_distance))


def buckets(offsets: torch.Tensor, count: int, most: int) -> torch.Tensor:
    """Return the bucket, of ``count``, of each whole-number offset (key − query).

    Half of the buckets is for keys after the query. Of each half, one half takes one offset a bucket, the other
    grows with the logarithm up to offset ``most`` and takes all farther ones (T5's scheme).
    """
    half, exact, distance = count // 2, count // 4, offsets.abs()
    far = torch.log(distance.clamp(min=1).float() / exact) / math.log(most / exact) * (half - exact)
    far = (exact + far.long()).clamp(max=half - 1)
    return (offsets > 0).long() * half + torch.where(distance < exact, distance, far)


class BEATs(Backbone):
    """The encoder: normalised log-mel (B, 1, T, 128) to tokens (B, N, D), N = T // 16 · 8, without a CLS token.

    ``config`` is a checkpoint's cfg; what it leaves out is as in DEFAULTS. Of a fine-tuned model the predictor is
    left out. Dropout rates, all without effect at evaluation, are not modelled.
    """

    family, defaults, fixed, published = "beats", DEFAULTS, FIXED, PUBLISHED

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        settings = self.settings
        patch, dim = settings["embed_dim"], settings["encoder_embed_dim"]
        self.patch_embedding = nn.Conv2d(1, patch, kernel_size=PATCH, stride=PATCH, bias=settings["conv_bias"])
        self.layer_norm = nn.LayerNorm(patch)
        self.post_extract_proj = nn.Linear(patch, dim) if patch != dim else None
        self.encoder = Encoder(settings)

    @classmethod
    def check(cls, config: dict[str, Any]) -> dict[str, Any]:
        """Return the settings; raise NearfarError for what this model is not."""
        settings = super().check(config)
        dim = settings["encoder_embed_dim"]
        for key in ("encoder_attention_heads", "conv_pos_groups"):
            if dim % settings[key]:
                raise NearfarError(
                    f"encoder_embed_dim: {dim} is not a multiple of {key} ({settings[key]}); choose another"
                )
        count, most = settings["num_buckets"], settings["max_distance"]
        if count < 4 or most <= count // 4:
            raise NearfarError(
                f"max_distance: {most} is not above a quarter of num_buckets ({count}, at least 4); mend it"
            )
        return settings

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.encoder.layers)

    def states(self, mels: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the tokens (B, N, D) that enter the first layer, then those that leave each layer."""
        x = self.layer_norm(self.patch_embedding(mels).flatten(2).transpose(1, 2))
        yield from self.encoder(x if self.post_extract_proj is None else self.post_extract_proj(x))

    def input_length(self, frames: int) -> int:
        """Return the frames that BEATs sees of a clip of ``frames``: whole columns, 62 for the 998 frames of 10 s."""
        return frames // PATCH * PATCH

    def inputs(self, waves: Sequence[torch.Tensor], length: int | None = None) -> torch.Tensor:
        """Return the input (B, 1, T, 128) of B waveforms (samples,) in [-1, 1]: their first T = ``length`` frames.

        T is by default input_length of the first. Raises NearfarError for a wave shorter than one patch.
        """
        mels = [fbank(wave) for wave in waves]
        length = self.input_length(len(mels[0])) if length is None else length
        mean, std = self.settings["fbank_mean"], self.settings["fbank_std"]
        return (torch.stack([mel[:length] for mel in mels])[:, None] - mean) / (2 * std)

    def draw(self, name: str, parameter: nn.Parameter, generator: torch.Generator) -> None:
        """Set a parameter of an untrained model; the gates' scale is 1, and g the norm of v."""
        if name.endswith("grep_a"):
            nn.init.ones_(parameter)
        else:
            super().draw(name, parameter, generator)
        conv = self.encoder.pos_conv[0]
        if parameter is conv.weight_v:
            conv.weight_g.data = parameter.data.norm(dim=(0, 1), keepdim=True)

    def own(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return a state in this model's names, without keys that are known and no part of the encoder, and copies."""
        state = {name: value for name, value in state.items() if name not in NO_FEATURES}
        state = renamed(state, lambda name: RENAMED.get(name, name))
        shared = state.get(BIAS.format(0))
        copies = state.keys() & {BIAS.format(number) for number in range(1, self.depth)}
        same = {name for name in copies if shared is not None and torch.equal(state[name], shared)}
        return {name: value for name, value in state.items() if name not in same}

    @classmethod
    def read_checkpoint(cls, path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Return the cfg and the state dict of a checkpoint file, without running any code that it may hold.

        Raises NearfarError for a file that is absent, cut, or holds something else.
        """
        if not path.is_file():
            raise NearfarError(f"{path}: no such file; put the BEATs checkpoint there")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch's, pickle's and zip's errors, of many kinds and lines
            raise NearfarError(
                f"{path}: not loaded, as it is incomplete, or holds Python objects, which could run code"
                f" ({type(error).__name__}); get the published checkpoint again"
            ) from error
        parts = [content.get(name) if isinstance(content, dict) else None for name in ("cfg", "model")]
        if not all(isinstance(part, dict) for part in parts) or not all(map(torch.is_tensor, parts[1].values())):
            raise NearfarError(f'{path}: holds no {{"cfg": settings, "model": tensors}}; give a BEATs checkpoint')
        return tuple(parts)


def fbank(wave: torch.Tensor) -> torch.Tensor:
    """Return BEATs' log-mel spectrogram (frames, 128), not normalised, of a waveform (samples,) in [-1, 1].

    Raises NearfarError for a wave shorter than one patch (the published code repeats it).
    """
    if len(wave) < SHORTEST:
        raise NearfarError(f"clip of {len(wave)} samples is shorter than one patch ({SHORTEST}); remove it")
    return kaldi.fbank(
        wave[None] * 2**15,  # BEATs was trained on samples in 16-bit steps
        sample_frequency=RATE,
        frame_length=1000 * WINDOW / RATE,
        frame_shift=1000 * SHIFT / RATE,
        num_mel_bins=MELS,
        window_type="povey",
        dither=0.0,
    )
