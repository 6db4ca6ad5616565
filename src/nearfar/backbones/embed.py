"""Embeddings of clips by a backbone, in a stream: memory holds one batch, whatever the number of clips."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nearfar.backbones.base import Backbone, load_backbone
from nearfar.backbones.fbank import frame_count
from nearfar.data.clips import read_clips
from nearfar.data.places import read_place
from nearfar.data.signals import channels_of, signal
from nearfar.errors import NearfarError, error_prefix
from nearfar.features.files import renew
from nearfar.jobs.devices import use_device
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
    clips: Iterable[str],
    backbone_folder: str | Path,
    outputs: Mapping[str, str | Path],
    *,
    made: str,
    pooling: str = "columns",
    precision: str = "float32",
    threads: int = 1,
    device: str = "cpu",
    **how: Any,
) -> None:
    """Write the embeddings of a machine's clips: one parquet file a view, {view: path} in ``outputs``.

    clips: paths of the clip tables; made: see renew. A view is a signal, pooled as ``pooling`` says, or bands_ and a
    signal, pooled by mel row. Each clip is read once, in one pass for all views, whose waves share batches.
    ``precision`` "bfloat16" is the model's alone (autocast): front end and pooling stay in float32. ``how``: layers and
    batch, as ``token_batches`` takes them. Raises NearfarError for clips that cannot be read.
    """
    use_device(device)
    torch.set_num_threads(threads)
    views = [(name.removeprefix("bands_"), "bands" if name.startswith("bands_") else pooling) for name in outputs]
    model, half = load_backbone(backbone_folder), precision == "bfloat16"

    def compute(chosen):
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
            yield from view_vectors(model, bar(chosen["place"], "embed"), views, device=device, **how)

    renew(read_clips(clips), outputs, made, compute)


def view_vectors(
    model: Backbone, paths: Iterable[str | Path], views: Sequence[tuple[str, str]], **how: Any
) -> Iterator[list[np.ndarray]]:
    """Yield for each clip its vectors, one for each of ``views``, (signal, pooling) pairs. how: of token_batches."""
    yield from wave_vectors(model, channel_waves(paths, channels_in(views)), views, **how)


def wave_vectors(
    model: Backbone, waves: Iterable[tuple[Key, np.ndarray]], views: Sequence[tuple[str, str]], **how: Any
) -> Iterator[list[np.ndarray]]:
    """Yield what view_vectors does, of the waves of each clip, as channel_waves yields them for channels_in(views)."""
    last, heard = channels_in(views)[-1], {}
    for keys, frames, tokens in token_batches(model, waves, **how):
        pooled = {one: model.pool(tokens, frames, one).cpu().numpy() for one in dict.fromkeys(one for _, one in views)}
        for row, (_, channel) in enumerate(keys):
            heard |= {(channel, one): vectors[row] for one, vectors in pooled.items()}
            if channel == last:  # a clip is done with its last channel
                yield [heard[view] for view in views]


def channels_in(views: Iterable[tuple[str, str]]) -> list[str]:
    """Return the signals that views, (signal, pooling) pairs, are of, each once."""
    return list(dict.fromkeys(channel for channel, _ in views))


def channel_waves(paths: Iterable[str | Path], channels: Iterable[str]) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """Yield ((file name, channel), waveform (samples,)) of each clip and each of ``channels``, names of SIGNALS.

    A clip is read once. Raises NearfarError, naming it, for what read_place refuses and for a silent residual.
    """
    needed = channels_of(channels)
    for path in map(Path, paths):
        wave = read_place(path, channels=needed)
        for channel in channels:
            with error_prefix(path):
                heard = signal(wave, channel)
            yield (path.name, channel), heard
