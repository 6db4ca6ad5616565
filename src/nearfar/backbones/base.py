"""What every family of backbones has: a transformer over patches of a log-mel spectrogram, with its front end.

A family is a subclass: its settings, its modules and its front end. Averaging layers, pooling, loading, saving and
drawing untrained weights are here.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from nearfar.backbones.checkpoints import (
    CONFIG,
    WEIGHTS,
    read_config,
    read_tensors,
    refuse_absurd,
    refuse_huge,
    refuse_mismatch,
    refuse_no_weights,
    renamed,
)
from nearfar.backbones.families import family_class, family_of
from nearfar.backbones.fbank import ROWS, columns
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import write_bytes, write_text

POOLINGS = ("columns", "patches", "all_columns", "all_patches", "bands")


class Backbone(nn.Module):
    """An encoder: normalised log-mel (B, 1, T, mels) to tokens (B, leading + N, D).

    Tokens before the patches (CLS) come first; then token = ROWS · time column + mel patch. ``config`` is the content
    of the model's config.json, kept as it is; ``settings`` is what it says of ``defaults``. Its class raises
    NearfarError for a config that it cannot be made of.
    """

    family: ClassVar[str]  # its name in FAMILIES, and model_type in config.json
    defaults: ClassVar[dict[str, Any]]  # settings, for what a config leaves out
    fixed: ClassVar[dict[str, Any]] = {}  # what a config may say only with these values
    published: ClassVar[dict[str, Any]] = {}  # what the published models set, for an untrained one
    prefix: ClassVar[str] = ""  # of the keys in a weights file
    leading: ClassVar[int] = 0  # tokens before the patches

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = dict(config)
        self.settings = self.check(config)

    # --- what a family defines

    @property
    def depth(self) -> int:
        """Number of layers."""
        raise NotImplementedError

    def states(self, mels: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the tokens (B, leading + N, D) that enter the first layer, then those that leave each layer."""
        raise NotImplementedError

    def input_length(self, frames: int) -> int:
        """Return the frames that the model is given of a clip of ``frames`` (10 ms)."""
        raise NotImplementedError

    def inputs(self, waves: Sequence[torch.Tensor], length: int | None = None) -> torch.Tensor:
        """Return the input (B, 1, T, mels) of B waveforms (samples,) in [-1, 1] at 16 kHz.

        T is ``length``, by default input_length of the first. Raises NearfarError for a wave that is too short.
        """
        raise NotImplementedError

    # --- what a family may define otherwise

    @classmethod
    def check(cls, config: dict[str, Any]) -> dict[str, Any]:
        """Return ``defaults`` with the values of ``config``; raise NearfarError for what this model is not."""
        for key, value in ({"model_type": cls.family} | cls.fixed).items():
            if config.get(key, value) != value:
                raise NearfarError(
                    f"{key}: {config[key]!r} is not supported, only {value!r}; take another {cls.__name__} checkpoint"
                )
        settings = cls.defaults | {key: config[key] for key in cls.defaults if key in config}
        for key, default in cls.defaults.items():
            value = settings[key]
            right = isinstance(value, (type(default), int)) and (isinstance(default, (str, bool)) or value > 0)
            if not right:
                raise NearfarError(f"{key}: {value!r} is not a value such as {default!r}; mend it")
        refuse_absurd(settings)
        return settings

    def draw(self, name: str, parameter: nn.Parameter, generator: torch.Generator) -> None:
        """Set a parameter of an untrained model: a truncated normal of standard deviation 0.02, norms 1, biases 0."""
        if parameter.ndim > 1:
            nn.init.trunc_normal_(parameter, std=0.02, generator=generator)
        else:
            nn.init.constant_(parameter, float("norm" in name and name.endswith("weight")))

    def own(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the content of a weights file under this model's names."""
        return renamed(state, lambda name: name.removeprefix(self.prefix))

    @classmethod
    def read_checkpoint(cls, path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Return config and weights of a file in the family's own format; raise NearfarError for another."""
        raise NearfarError(f"{path}: no such folder; give one with {cls.__name__}'s {CONFIG} and {WEIGHTS}")

    # --- what all families share

    def forward(self, mels: torch.Tensor, layers: Sequence[int] | None = None) -> torch.Tensor:
        """Return the tokens (B, leading + N, D) of normalised log-mels (B, 1, T, mels).

        ``layers`` averages the outputs of these layers (1 … depth; 0 is the input of the first) instead of taking
        the last one. Raises NearfarError for a layer that is not there.
        """
        layers = self.check_layers(layers)
        wanted = [x for number, x in enumerate(self.states(mels)) if number in layers]
        return wanted[0] if len(wanted) == 1 else torch.stack(wanted).mean(0)

    def check_layers(self, layers: Sequence[int] | None) -> set[int]:
        """Return the layers to average as a set; raise NearfarError for one that is not there."""
        if layers is None:
            return {self.depth}
        if not layers or not set(layers) <= set(range(self.depth + 1)):
            raise NearfarError(
                f"layers: {list(layers)} is not a list of layers 0 … {self.depth} of this {type(self).__name__};"
                " name some of these"
            )
        return set(layers)

    def pool(self, tokens: torch.Tensor, frames: int | Sequence[int], pooling: str = "columns") -> torch.Tensor:
        """Return the mean and standard deviation over time of the patches' tokens, (B, leading + N, D): (B, 2D).

        ``frames`` is each clip's number of frames before padding: an int, or B of them. ``pooling`` "columns" runs
        over time columns (the mean of their mel patches), "patches" over single ones, of those that hold a real
        frame; "all_columns" and "all_patches" run over the padding too. "bands" keeps the mel patches of a column
        apart, (B, 2 · ROWS · D): the means of all rows, then their deviations. Raises NearfarError for another.
        """
        if pooling not in POOLINGS:
            raise NearfarError(f"pooling: {pooling!r} is not one of {', '.join(POOLINGS)}; choose one of these")
        frames = [frames] * len(tokens) if isinstance(frames, int) else frames
        grids = tokens[:, self.leading :].unflatten(1, (-1, ROWS))  # (B, columns, ROWS, D)
        return torch.stack([_statistics(g, int(f), pooling) for g, f in zip(grids, frames, strict=True)])

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the model, in evaluation mode, of a folder with config.json and model.safetensors.

        ``path`` may be a file in the family's own format, where it has one. Raises NearfarError for a file that is
        absent, cut or of another model, and unless every key of it is used and every parameter set.
        """
        path = Path(path)
        if path.is_dir():
            about, weights = path / CONFIG, path / WEIGHTS
            model, state = cls.hollow(read_config(about), about), read_tensors(weights)
        else:
            weights, (config, state) = path, cls.read_checkpoint(path)
            model = cls.hollow(config, path)
        with error_prefix(weights):
            refuse_no_weights(state)
            state = model.own(state)
        refuse_mismatch(state, model.state_dict(), weights)
        with_storage(model).load_state_dict(state)
        return model.eval()

    def save(self, folder: str | Path) -> None:
        """Write ``folder``/config.json, which names the family as model_type, and model.safetensors."""
        from safetensors.torch import save as packed

        state = {f"{self.prefix}{name}": value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        write_bytes(Path(folder, WEIGHTS), packed(state, metadata={"format": "pt"}))
        config = {"model_type": self.family} | self.config
        write_text(Path(folder, CONFIG), json.dumps(config, indent=2, default=str) + "\n")

    @classmethod
    def untrained(cls, config: dict[str, Any], seed: int) -> Self:
        """Return a model with random weights: the same ``config`` and ``seed`` give the same weights.

        What ``config`` leaves out is as in the published models. The global random state is not touched. Raises
        NearfarError for a key of ``config`` that is not one of the family's, since it would be overlooked.
        """
        unknown = sorted(set(config) - set(cls.defaults) - set(cls.fixed) - {"model_type"})
        if unknown:
            raise NearfarError(f"backbone config: unknown key {unknown[0]!r}; the keys are {', '.join(cls.defaults)}")
        model = with_storage(cls.hollow(cls.published | config, "backbone config"))
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in model.named_parameters():
            model.draw(name, parameter, generator)
        return model.eval()

    @classmethod
    def hollow(cls, config: dict[str, Any], source: str | Path) -> Self:
        """Return a model without storage, which costs neither time nor random numbers; errors name ``source``."""
        with error_prefix(source), torch.device("meta"):
            return refuse_huge(cls(config))


def with_storage(model: nn.Module) -> nn.Module:
    """Return a ``model`` without storage with parameters on the CPU; Module.to_empty would import torch's compiler."""
    empty = {name: torch.empty(value.shape, dtype=value.dtype) for name, value in model.state_dict().items()}
    model.load_state_dict(empty, assign=True)
    return model


def load_backbone(path: str | Path) -> Backbone:
    """Return the backbone, in evaluation mode, of a folder with config and weights or of a checkpoint file.

    Raises NearfarError as families.family_of and Backbone.load do.
    """
    return family_class(family_of(path)).load(path)


def _statistics(grid: torch.Tensor, frames: int, pooling: str) -> torch.Tensor:
    """Return the mean and standard deviation (2D,), or (2 · ROWS · D,), of one clip's tokens (columns, ROWS, D)."""
    if not pooling.startswith("all_"):
        grid = grid[: columns(frames)]
    if pooling == "bands":
        values = grid.flatten(1)  # (columns, ROWS · D)
    else:
        values = grid.mean(1) if pooling.endswith("columns") else grid.flatten(0, 1)  # (n, D)
    return torch.cat([values.mean(0), values.std(0, correction=0)])
