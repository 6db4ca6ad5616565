"""Embeddings of clips by a backbone, in a stream: memory holds one batch, whatever the number of clips."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nearfar.backbones.base import Backbone, load_backbone
from nearfar.backbones.fbank import frame_count
from nearfar.data.audio import read_clip
from nearfar.data.signals import channels_of, signal
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.devices import refuse_absent
from nearfar.jobs.files import write_vectors
from nearfar.jobs.prefetch import ahead
from nearfar.jobs.progress import bar

Key = str | tuple[str, ...]  # of a clip: its file name, or a tuple that begins with that


@torch.inference_mode()
def token_batches(
    model: Backbone,
    clips: Iterable[tuple[Key, np.ndarray]],
    layers: Sequence[int] | None = None,
    batch: int = 8,
    device: str = "cpu",
) -> Iterator[tuple[tuple[Key, ...], list[int], torch.Tensor]]:
    """Yield (keys, frames, tokens (B, leading + N, D)) of ``clips``, an iterable of (key, waveform (samples,)).

    ``frames`` is each clip's number of frames before padding. A batch holds at most ``batch`` consecutive clips, all
    of one padded length, so that no clip's tokens depend on its companions. A thread reads ``clips`` and runs the
    front end, on the CPU, two batches ahead of the model and no further. Raises NearfarError for a layer that is not
    there, and, naming the clip, for one that is too short or too long or whose tokens are not finite.
    """
    if batch < 1:
        raise NearfarError(f"batch: {batch} is not a number of clips; give 1 or more")
    layers, model = model.check_layers(layers), model.eval().to(device)
    with closing(ahead(_input_batches(model, clips, batch))) as batches:
        for keys, frames, inputs in batches:
            yield keys, frames, _tokens(model, _names(keys), inputs.to(device), layers)


@torch.inference_mode()  # a mode of the thread that runs it, which is another one than the model's
def _input_batches(model: Backbone, clips: Iterable, batch: int) -> Iterator[tuple]:
    """Yield (keys, frames, inputs (B, 1, T, mels)) of each batch; errors name the clip."""
    for length, group in groupby(clips, key=lambda clip: model.input_length(frame_count(len(clip[1])))):
        while members := list(islice(group, batch)):
            keys, waves = zip(*members, strict=True)
            frames = [frame_count(len(wave)) for wave in waves]
            with error_prefix(_names(keys)[0]):  # too short: as the padded lengths are equal, true of the first one
                inputs = model.inputs([torch.as_tensor(wave) for wave in waves], length)
            yield keys, frames, inputs


def _names(keys: Iterable[Key]) -> list[str]:
    return [key if isinstance(key, str) else key[0] for key in keys]


def _tokens(model: Backbone, names: list[str], inputs: torch.Tensor, layers: set[int]) -> torch.Tensor:
    """Return the tokens (B, leading + N, D) of one batch; errors name the clip."""
    with error_prefix(names[0]):  # too long: true of the first one too
        tokens = model(inputs, layers=layers).float()
    finite = tokens.isfinite().flatten(1).all(1)
    if not finite.all():
        name = names[int(finite.int().argmin())]
        raise NearfarError(f"{name}: its tokens hold NaN or infinity; check the backbone's weights")
    return tokens


def embeddings(
    model: Backbone,
    clips: Iterable[tuple[Key, np.ndarray]],
    pooling: str = "columns",
    layers: Sequence[int] | None = None,
    batch: int = 8,
    device: str = "cpu",
) -> Iterator[tuple[Key, np.ndarray]]:
    """Yield (key, embedding, float32) of ``clips``, an iterable of (key, waveform (samples,)), in their order.

    ``pooling`` is as Backbone.pool takes it, ``layers`` the model's layers that are averaged (the last one by default).
    Raises NearfarError as token_batches and Backbone.pool do.
    """
    for keys, frames, tokens in token_batches(model, clips, layers, batch, device):
        yield from zip(keys, model.pool(tokens, frames, pooling).cpu().numpy(), strict=True)


def embed_machine(
    paths: Iterable[str | Path],
    backbone_folder: str | Path,
    outputs: Mapping[str, str | Path],
    *,
    bands: Mapping[str, str | Path] | None = None,
    pooling: str = "columns",
    precision: str = "float32",
    threads: int = 1,
    device: str = "cpu",
    **how: Any,
) -> None:
    """Write the embeddings of the clips at ``paths``: one parquet file a channel, {channel: path} in ``outputs``.

    Those in ``bands`` are pooled by mel row, the others as ``pooling`` says. Rows are in the order of ``paths``, under
    the clips' file names. Each clip is read once, in one pass for all channels, whose waves share batches.
    ``precision`` "bfloat16" is the model's alone (autocast): front end and pooling stay in float32. ``how``: layers and
    batch, as ``token_batches`` takes them. Raises NearfarError for clips that cannot be read, and for two of the same
    name.
    """
    views = [(channel, pooling, path) for channel, path in outputs.items()]
    views += [(channel, "bands", path) for channel, path in (bands or {}).items()]
    paths = [Path(path) for path in paths]
    names = [path.name for path in paths]
    _refuse_repeated(names)
    refuse_absent(device)
    torch.set_num_threads(threads)
    model = load_backbone(backbone_folder)
    half = precision == "bfloat16"
    with ExitStack() as stack, torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
        vectors, channels = [[] for _ in views], list(dict.fromkeys(channel for channel, *_ in views))
        done = stack.enter_context(bar(None, "embed", total=len(paths)))
        for keys, frames, tokens in token_batches(model, channel_waves(paths, channels), device=device, **how):
            pooled = {one: model.pool(tokens, frames, one).cpu().numpy() for one in {view[1] for view in views}}
            for found, (channel, one, _) in zip(vectors, views, strict=True):
                found += [vector for (_, heard), vector in zip(keys, pooled[one], strict=True) if heard == channel]
            done.update(sum(heard == channels[-1] for _, heard in keys))  # a clip is done with its last channel
    for found, (_, _, path) in zip(vectors, views, strict=True):
        write_vectors(path, names, found)


def channel_waves(paths: Iterable[str | Path], channels: Iterable[str]) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """Yield ((file name, channel), waveform (samples,)) of each clip and each of ``channels``, names of SIGNALS.

    A clip is read once. Raises NearfarError, naming it, for what read_clip refuses and for a silent residual.
    """
    needed = channels_of(channels)
    for path in map(Path, paths):
        wave = read_clip(path, channels=needed)
        for channel in channels:
            with error_prefix(path):
                heard = signal(wave, channel)
            yield (path.name, channel), heard


def _refuse_repeated(names: list[str]) -> None:
    if not names:
        raise NearfarError("no clips to embed; name some, or check the folder of the machine")
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise NearfarError(f"{repeated[0]}: given twice ({len(repeated)} names in all); give each clip once")
