"""BEATs (Chen et al., ICML 2023) as one native torch model that reads the published {"cfg", "model"} checkpoints.

Its parameters bear the names of the published state dict and load strictly: every key is used, or known to be no
part of the encoder, and every parameter is set, or loading fails. Checkpoints are pickles; they are read with
torch's weights_only alone, once, and kept as config.json and model.safetensors (``convert``).
"""

# Native, not openbeats' BeatsEncoder: that imports transformers (14 s of CPU where Python keeps no bytecode), takes
# 1.3 times the CPU time of this one at batch 4, applies dropout at evaluation in its flash attention, draws from
# numpy's global generator in every pass, repeats short clips in silence, and averages no chosen layers.
# tests/test_beats.py holds the two equal.

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torchaudio.compliance import kaldi

from nearfar.backbones.checkpoints import read_config, read_tensors, refuse_mismatch
from nearfar.backbones.fbank import MELS, PATCH, RATE, SHIFT, WINDOW
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import write_bytes, write_text

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
    "model_type": "beats",
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

    def __init__(self, dim, kernel, groups):
        super().__init__()
        self.groups = groups
        self.bias = nn.Parameter(torch.empty(dim))
        self.weight_g = nn.Parameter(torch.empty(1, 1, kernel))
        self.weight_v = nn.Parameter(torch.empty(dim, dim // groups, kernel))

    def forward(self, x):
        """(B, N, D) to (B, N, D)."""
        weight = self.weight_g * self.weight_v / self.weight_v.norm(dim=(0, 1), keepdim=True)
        y = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=weight.shape[2] // 2, groups=self.groups)
        return F.gelu(y[:, :, : x.shape[1]].transpose(1, 2))  # an even kernel gives one place too many


class BiasTable(nn.Module):
    """A bias for each bucket of offsets and each head.

    What nn.Embedding is; but that draws its first values even where there is no storage, which imports torch._dynamo.
    """

    def __init__(self, count, heads):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, heads))

    def forward(self, bucket):
        """Bucket numbers (N, N) to biases (heads, N, N)."""
        return self.weight[bucket].permute(2, 0, 1)


class Attention(nn.Module):
    """Multi-head self-attention with a relative position bias that each query gates; linears may be wrapped by peft."""

    def __init__(self, settings, first):
        super().__init__()
        dim, self.heads = settings["encoder_embed_dim"], settings["encoder_attention_heads"]
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(dim, dim) for _ in range(4))
        if settings["gru_rel_pos"]:
            self.grep_linear = nn.Linear(dim // self.heads, 8)
            self.grep_a = nn.Parameter(torch.empty(1, self.heads, 1, 1))
        if settings["relative_position_embedding"] and first:
            self.relative_attention_bias = BiasTable(settings["num_buckets"], self.heads)

    def forward(self, x, bias):
        """(B, N, D) to (B, N, D); ``bias`` is (heads, N, N) or None."""
        q, k, v = (
            linear(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, d)
            for linear in (self.q_proj, self.k_proj, self.v_proj)
        )
        if bias is not None:
            bias = self._gate(q) * bias
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def _gate(self, q):
        """Return what each query (B, heads, N, d) multiplies its bias by: (B, heads, N, 1), or 1 without gates."""
        if not hasattr(self, "grep_linear"):
            return 1
        a, b = self.grep_linear(q).unflatten(3, (2, 4)).sum(-1).sigmoid().chunk(2, -1)
        return a * (b * self.grep_a - 1) + 2


class Layer(nn.Module):
    """Post-norm transformer layer; deep norm scales what goes around each half by (2 · layers)^¼."""

    def __init__(self, settings, first):
        super().__init__()
        dim, hidden = settings["encoder_embed_dim"], settings["encoder_ffn_embed_dim"]
        self.alpha = (2 * settings["encoder_layers"]) ** 0.25 if settings["deep_norm"] else 1
        self.self_attn = Attention(settings, first)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, x, bias):
        """(B, N, D) to (B, N, D); ``bias`` is (heads, N, N) or None."""
        x = self.self_attn_layer_norm(self.alpha * x + self.self_attn(x, bias))
        return self.final_layer_norm(self.alpha * x + self.fc2(F.gelu(self.fc1(x))))


class Encoder(nn.Module):
    """The transformer: convolutional positions, then the layers, which share one relative position bias."""

    def __init__(self, settings):
        super().__init__()
        dim, layers = settings["encoder_embed_dim"], settings["encoder_layers"]
        self.max_distance = settings["max_distance"]
        self.pos_conv = nn.Sequential(PositionConv(dim, settings["conv_pos"], settings["conv_pos_groups"]))
        self.layer_norm = nn.LayerNorm(dim)
        self.layers = nn.ModuleList([Layer(settings, first=number == 0) for number in range(layers)])

    def forward(self, x):
        """Yield the tokens (B, N, D) that enter the first layer, then those that leave each layer."""
        x = self.layer_norm(x + self.pos_conv(x))
        yield x
        bias = self._bias(x.shape[1])
        for layer in self.layers:
            x = layer(x, bias)
            yield x

    def _bias(self, tokens):
        """Return the relative position bias (heads, N, N) of N ``tokens``; None for a model without."""
        table = getattr(self.layers[0].self_attn, "relative_attention_bias", None)
        if table is None:
            return None
        place = torch.arange(tokens, device=table.weight.device)
        return table(buckets(place - place[:, None], len(table.weight), self.max_distance))


def buckets(offsets, count, most):
    """Return the bucket, of ``count``, of each whole-number offset (key − query).

    Half of the buckets is for keys after the query. Of each half, one half takes one offset a bucket, the other
    grows with the logarithm up to offset ``most`` and takes all farther ones (T5's scheme).
    """
    half, exact, distance = count // 2, count // 4, offsets.abs()
    far = torch.log(distance.clamp(min=1).float() / exact) / math.log(most / exact) * (half - exact)
    far = (exact + far.long()).clamp(max=half - 1)
    return (offsets > 0).long() * half + torch.where(distance < exact, distance, far)


class BEATs(nn.Module):
    """The encoder: normalised log-mel (B, 1, T, 128) to tokens (B, N, D), without a CLS token.

    ``config`` is a checkpoint's cfg; what it leaves out is as in DEFAULTS. Of a fine-tuned model the predictor is
    left out. Dropout rates, all without effect at evaluation, are not modelled.
    """

    def __init__(self, config):
        super().__init__()
        settings = _settings(config)
        patch, dim = settings["embed_dim"], settings["encoder_embed_dim"]
        self.config = dict(config)
        self.mean, self.std = settings["fbank_mean"], settings["fbank_std"]
        self.patch_embedding = nn.Conv2d(1, patch, kernel_size=PATCH, stride=PATCH, bias=settings["conv_bias"])
        self.layer_norm = nn.LayerNorm(patch)
        self.post_extract_proj = nn.Linear(patch, dim) if patch != dim else None
        self.encoder = Encoder(settings)

    def forward(self, mels, layers=None):
        """Return the tokens (B, N, D) of normalised log-mels (B, 1, T, 128): N = T // 16 · 8.

        Token index = 8 · time column + mel patch, as in EAT. ``layers`` averages the outputs of these layers
        (1 … depth; 0 is the input of the first) instead of taking the last one. Raises NearfarError for a layer
        that is not there.
        """
        layers = self.check_layers(layers)
        wanted = [x for number, x in enumerate(self.states(mels)) if number in layers]
        return wanted[0] if len(wanted) == 1 else torch.stack(wanted).mean(0)

    def states(self, mels):
        """Yield the tokens (B, N, D) that enter the first layer, then those that leave each layer."""
        x = self.layer_norm(self.patch_embedding(mels).flatten(2).transpose(1, 2))
        yield from self.encoder(x if self.post_extract_proj is None else self.post_extract_proj(x))

    def check_layers(self, layers):
        """Return the layers to average as a set; raises NearfarError for one that is not there."""
        depth = len(self.encoder.layers)
        if layers is None:
            return {depth}
        if not layers or not set(layers) <= set(range(depth + 1)):
            raise NearfarError(
                f"layers: {list(layers)} is not a list of layers 0 … {depth} of this BEATs; name some of these"
            )
        return set(layers)

    def input_length(self, frames):
        """Return the frames that BEATs sees of a clip of ``frames``: whole columns, 62 for the 998 frames of 10 s."""
        return frames // PATCH * PATCH

    def inputs(self, waves, length=None):
        """Return the input (B, 1, T, 128) of B waveforms (samples,) in [-1, 1]: their first T = ``length`` frames.

        T is by default input_length of the first. Raises NearfarError for a wave shorter than one patch.
        """
        mels = [fbank(wave) for wave in waves]
        length = self.input_length(len(mels[0])) if length is None else length
        return (torch.stack([mel[:length] for mel in mels])[:, None] - self.mean) / (2 * self.std)


def fbank(wave):
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


def load(path):
    """Return the BEATs, in evaluation mode, of a checkpoint file or of a folder that ``save`` or ``convert`` made.

    Raises NearfarError for a file that is absent, cut or no BEATs, and unless every key of the checkpoint is known
    and every parameter set.
    """
    path = Path(path)
    if path.is_dir():
        source, config = path / "model.safetensors", read_config(path / "config.json")
        state = read_tensors(source)
    else:
        source, (config, state) = path, read_checkpoint(path)
    model = _hollow(config, source)
    state = _encoder_only(state, len(model.encoder.layers))
    refuse_mismatch(state, model.state_dict(), source)
    model = model.to_empty(device="cpu")
    model.load_state_dict(state)
    return model.eval()


def save(model, folder):
    """Write a BEATs to ``folder``: config.json, the cfg with ``model_type`` "beats", and model.safetensors."""
    from safetensors.torch import save as packed

    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_bytes(Path(folder, "model.safetensors"), packed(state, metadata={"format": "pt"}))
    config = {"model_type": "beats"} | model.config
    write_text(Path(folder, "config.json"), json.dumps(config, indent=2, default=str) + "\n")


def convert(checkpoint, folder):
    """Write a checkpoint file as ``save`` does, so that no pickle is read again. Raises NearfarError as load does."""
    save(load(checkpoint), folder)


def untrained(config, seed):
    """Return a randomly initialised BEATs: the same ``config`` and ``seed`` give the same weights.

    What ``config`` leaves out is as in the published models. Weights are drawn from a truncated normal of standard
    deviation 0.02; the global random state is not touched. Raises NearfarError for a key of ``config`` that is not
    one of BEATs', since it would be overlooked.
    """
    unknown = sorted(set(config) - set(DEFAULTS) - set(FIXED))
    if unknown:
        raise NearfarError(f"backbone config: unknown key {unknown[0]!r}; the keys are {', '.join(DEFAULTS)}")
    model = _hollow(PUBLISHED | config, "backbone config").to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith("grep_a"):
            nn.init.ones_(parameter)
        elif parameter.ndim > 1:
            nn.init.trunc_normal_(parameter, std=0.02, generator=generator)
        else:  # biases, and the weights of the norms
            nn.init.constant_(parameter, float("norm" in name and name.endswith("weight")))
    conv = model.encoder.pos_conv[0]
    conv.weight_g.data = conv.weight_v.data.norm(dim=(0, 1), keepdim=True)
    return model.eval()


def read_checkpoint(path):
    """Return the cfg and the state dict of a checkpoint file, without running any code that it may hold.

    Raises NearfarError for a file that is absent, cut, or holds something else.
    """
    path = Path(path)
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
    return parts


def _settings(config):
    """Return DEFAULTS with the values of ``config``; raises NearfarError for what this model is not."""
    for key, value in FIXED.items():
        if config.get(key, value) != value:
            raise NearfarError(
                f"{key}: {config[key]!r} is not supported, only {value!r}; take another BEATs checkpoint"
            )
    settings = DEFAULTS | {key: config[key] for key in DEFAULTS if key in config}
    for key, default in DEFAULTS.items():
        value = settings[key]
        if not isinstance(value, (type(default), int)) or (value <= 0 and not isinstance(default, bool)):
            raise NearfarError(f"{key}: {value!r} is not a value such as {default!r}; mend it")
    dim = settings["encoder_embed_dim"]
    for key in ("encoder_attention_heads", "conv_pos_groups"):
        if dim % settings[key]:
            raise NearfarError(f"encoder_embed_dim: {dim} is not a multiple of {key} ({settings[key]}); choose another")
    count, most = settings["num_buckets"], settings["max_distance"]
    if count < 4 or most <= count // 4:
        raise NearfarError(f"max_distance: {most} is not above a quarter of num_buckets ({count}, at least 4); mend it")
    return settings


def _hollow(config, source):
    """Return a BEATs without storage, which costs neither time nor random numbers; errors name ``source``."""
    with error_prefix(source), torch.device("meta"):
        return BEATs(config)


def _encoder_only(state, layers):
    """Return ``state`` in this model's names, without keys that are known and no part of the encoder, and copies."""
    state = {RENAMED.get(name, name): value for name, value in state.items() if name not in NO_FEATURES}
    shared = state.get(BIAS.format(0))
    copies = state.keys() & {BIAS.format(number) for number in range(1, layers)}
    same = {name for name in copies if shared is not None and torch.equal(state[name], shared)}
    return {name: value for name, value in state.items() if name not in same}
