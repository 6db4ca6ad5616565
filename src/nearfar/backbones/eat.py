"""EAT (Chen et al., IJCAI 2024) as one native torch model that reads the hub's config.json and model.safetensors.

The body is a post-norm vision transformer. Its parameters bear the names of the hub's state dict, so that a
checkpoint loads strictly: every key is used and every parameter is set, or loading fails.
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from nearfar.backbones.checkpoints import read_config, read_tensors, refuse_mismatch
from nearfar.backbones.fbank import MELS, PATCH
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import write_bytes, write_text

ROWS = MELS // PATCH  # mel patches in a time column
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
    "model_type": "eat",
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

    def __init__(self, dim, heads, bias):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        """(B, L, D) to (B, L, D)."""
        B, L, D = x.shape
        q, k, v = self.qkv(x).view(B, L, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)  # (B, heads, L, d)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(B, L, D))


class Mlp(nn.Module):
    """Two linear layers around an exact (erf) GELU."""

    def __init__(self, dim, hidden):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x):
        """(B, L, D) to (B, L, D)."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Post-norm transformer block."""

    def __init__(self, settings):
        super().__init__()
        dim, eps = settings["embed_dim"], settings["norm_eps"]
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, settings["num_heads"], settings["qkv_bias"])
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, int(dim * settings["mlp_ratio"]))

    def forward(self, x):
        """Return the block's output and the raw MLP output t, both (B, L, D)."""
        r = self.norm1(x + self.attn(x))
        t = self.mlp(r)
        return self.norm2(r + t), t


class PatchEncoder(nn.Module):
    """Log-mel to patches: one convolution whose kernel is its stride."""

    def __init__(self, dim):
        super().__init__()
        self.proj = nn.Conv2d(1, dim, kernel_size=PATCH, stride=PATCH)

    def forward(self, mels):
        """(B, 1, T, 128) to (B, N, D) with N = T / 16 · 8 and token index = 8 · time column + mel patch."""
        return self.proj(mels).flatten(2).transpose(1, 2)


class Positions(nn.Module):
    """The frozen sin-cos positions, stored in the checkpoint."""

    def __init__(self, columns, dim):
        super().__init__()
        self.positions = nn.Parameter(torch.empty(1, ROWS * columns, dim), requires_grad=False)

    def forward(self, patches):
        """Add to (B, N, D) the first N positions: a shorter clip takes a prefix, nothing is interpolated."""
        return patches + self.positions[:, : patches.shape[1]]


class EAT(nn.Module):
    """The encoder: log-mel (B, 1, T, 128) to tokens (B, 1 + N, D), the CLS token first.

    ``config`` is the content of the hub's config.json; what it leaves out is as in EAT-base. A fine-tuned model
    (``model_variant: finetune``) also holds ``fc_norm`` and ``head``; its features are the tokens all the same.
    The hub's dropout rates, all zero at evaluation, are not modelled.
    """

    def __init__(self, config):
        super().__init__()
        settings = _settings(config)
        dim, eps = settings["embed_dim"], settings["norm_eps"]
        self.config = dict(config)
        self.extra_tokens = nn.Parameter(torch.empty(1, 1, dim))  # CLS
        self.local_encoder = PatchEncoder(dim)
        self.fixed_positional_encoder = Positions(settings["max_length"], dim)
        self.pre_norm = nn.LayerNorm(dim, eps=eps)
        self.blocks = nn.ModuleList([Block(settings) for _ in range(settings["depth"])])
        if settings["model_variant"] == "finetune":
            self.fc_norm = nn.LayerNorm(dim, eps=eps)
            self.head = nn.Linear(dim, settings["num_classes"])

    def forward(self, mels, layers=None):
        """Return the tokens (B, 1 + N, D) of normalised log-mels (B, 1, T, 128), T a multiple of 16.

        ``layers`` averages the outputs of these blocks (1 … depth; 0 is the input of the first) instead of taking
        the last one. Raises NearfarError for a layer that is not there or a clip longer than the positions.
        """
        layers = self.check_layers(layers)
        states = self.states(self.patches(mels))
        wanted = [x for number, (x, _) in enumerate(states) if number in layers]
        return wanted[0] if len(wanted) == 1 else torch.stack(wanted).mean(0)

    def patches(self, mels):
        """Return the patches (B, N, D) of log-mels (B, 1, T, 128), with their positions and without CLS."""
        most = self.fixed_positional_encoder.positions.shape[1] // ROWS
        if mels.shape[2] > most * PATCH:
            raise NearfarError(
                f"clip of {mels.shape[2]} frames is longer than the {most * PATCH} frames (10 ms) that this EAT has"
                " positions for (max_length); cut the clip"
            )
        return self.fixed_positional_encoder(self.local_encoder(mels))

    def states(self, patches):
        """Yield the tokens (B, 1 + N, D) that enter the first block, then those that leave each block.

        ``patches`` (B, N, D) carry their positions; they may be any subset of a clip's. Each state comes with the
        raw MLP output t (B, 1 + N, D) of its block, the target of EAT's pre-training, and None at the first.
        """
        x = self.pre_norm(torch.cat([self.extra_tokens.expand(len(patches), -1, -1), patches], 1))
        yield x, None
        for block in self.blocks:
            x, t = block(x)
            yield x, t

    def check_layers(self, layers):
        """Return the layers to average as a set; raises NearfarError for one that is not there."""
        depth = len(self.blocks)
        if layers is None:
            return {depth}
        if not layers or not set(layers) <= set(range(depth + 1)):
            raise NearfarError(
                f"layers: {list(layers)} is not a list of layers 0 … {depth} of this EAT; name some of these"
            )
        return set(layers)


def load(folder):
    """Return the EAT, in evaluation mode, of a folder with the hub's config.json and model.safetensors.

    Raises NearfarError for a file that is absent, cut or no EAT, and unless every key of the checkpoint is used
    and every parameter set.
    """
    folder = Path(folder)
    model = _hollow(read_config(folder / "config.json"), folder / "config.json")
    weights = folder / "model.safetensors"
    state = {name.removeprefix("model."): value for name, value in read_tensors(weights).items()}
    refuse_mismatch(state, model.state_dict(), weights)
    model = model.to_empty(device="cpu")
    model.load_state_dict(state)
    return model.eval()


def save(model, config, folder):
    """Write an EAT in the hub's layout: config.json and model.safetensors, whose keys begin with ``model.``."""
    from safetensors.torch import save as packed

    folder = Path(folder)
    state = {f"model.{name}": value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_bytes(folder / "model.safetensors", packed(state, metadata={"format": "pt"}))
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")


def untrained(config, seed):
    """Return a randomly initialised EAT: the same ``config`` and ``seed`` give the same weights.

    Weights are drawn from a truncated normal of standard deviation 0.02; the global random state is not touched.
    Raises NearfarError for a key of ``config`` that is not one of EAT's, since it would be overlooked.
    """
    unknown = sorted(set(config) - set(DEFAULTS) - set(FIXED))
    if unknown:
        raise NearfarError(f"backbone config: unknown key {unknown[0]!r}; the keys are {', '.join(DEFAULTS)}")
    model = _hollow(config, "backbone config").to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name == "fixed_positional_encoder.positions":
            parameter.data = sincos(parameter.shape[1] // ROWS, parameter.shape[2])
        elif parameter.ndim > 1:
            nn.init.trunc_normal_(parameter, std=0.02, generator=generator)
        else:  # biases, and the weights of the norms
            nn.init.constant_(parameter, float("norm" in name and name.endswith("weight")))
    return model.eval()


def sincos(columns, dim):
    """Return EAT's positions (1, 8 · columns, dim): the first half encodes the mel patch, the second the time.

    All in float32, as the stored ones were made: their largest angles are 5e-6 off the exact values.
    """
    omega = 1 / 10000 ** (torch.arange(dim // 4, dtype=torch.float32) / (dim / 4))

    def encode(index):
        angle = torch.outer(index.float(), omega)
        return torch.cat([angle.sin(), angle.cos()], 1)  # (8 · columns, dim / 2)

    mel = torch.arange(ROWS).repeat(columns)
    time = torch.arange(columns).repeat_interleave(ROWS)
    return torch.cat([encode(mel), encode(time)], 1)[None]


def _settings(config):
    """Return DEFAULTS with the values of ``config``; raises NearfarError for what this model is not."""
    for key, value in FIXED.items():
        if config.get(key, value) != value:
            raise NearfarError(f"{key}: {config[key]!r} is not supported, only {value!r}; take another EAT checkpoint")
    settings = DEFAULTS | {key: config[key] for key in DEFAULTS if key in config}
    for key, default in DEFAULTS.items():
        value = settings[key]
        if not isinstance(value, (type(default), int)) or (
            value <= 0 if not isinstance(default, (str, bool)) else False
        ):
            raise NearfarError(f"{key}: {value!r} is not a value such as {default!r}; mend it")
    dim, heads = settings["embed_dim"], settings["num_heads"]
    if dim % math.lcm(4, heads):
        raise NearfarError(f"embed_dim: {dim} is not a multiple of 4 and of num_heads ({heads}); choose another")
    if settings["model_variant"] not in ("pretrain", "finetune"):
        raise NearfarError(
            f"model_variant: {settings['model_variant']!r} is neither 'pretrain' nor 'finetune'; mend it"
        )
    return settings


def _hollow(config, source):
    """Return an EAT without storage, which costs neither time nor random numbers; errors name ``source``."""
    with error_prefix(source), torch.device("meta"):
        return EAT(config)
