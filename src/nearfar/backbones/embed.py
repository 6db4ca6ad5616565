"""Embeddings of clips by a frozen EAT or BEATs, in a stream: memory holds one batch, whatever the number of clips."""

from contextlib import ExitStack, closing
from itertools import groupby, islice
from pathlib import Path

import torch

from nearfar.backbones import eat
from nearfar.backbones.checkpoints import read_config
from nearfar.backbones.fbank import PATCH, columns, eat_inputs, frame_count, input_length
from nearfar.data.audio import CHANNELS, read_clip
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.devices import refuse_absent
from nearfar.jobs.files import write_vectors
from nearfar.jobs.prefetch import ahead
from nearfar.jobs.progress import bar

POOLINGS = {  # name to the arguments of pool
    "columns": {},
    "patches": {"unit": "patches"},
    "all_columns": {"take": "all"},
    "all_patches": {"unit": "patches", "take": "all"},
}


def load_model(path):
    """Return the backbone, in evaluation mode, of a folder with config.json and model.safetensors.

    It is what the config's ``model_type`` says, an EAT or a BEATs; a file is a BEATs checkpoint. Raises NearfarError
    as eat.load and beats.load do.
    """
    path = Path(path)
    if path.is_file() or read_config(path / "config.json").get("model_type") == "beats":
        from nearfar.backbones import beats

        return beats.load(path)
    return eat.load(path)


def pool(tokens, frames, unit="columns", take="real", unbiased=False):
    """Return the mean and standard deviation (B, 2D) over time of tokens (B, 1 + N, D), CLS left out.

    Patches are whole columns of 8, so what precedes them shows in the number of tokens: BEATs, without CLS, gives N.
    ``frames`` is each clip's number of frames before padding: an int, or B of them. ``unit`` is what the
    statistics run over: "columns" (the mean of a time column's 8 mel patches) or single "patches". ``take`` is
    the time columns they run over: "real" (at least one frame is not padding), "whole" (no frame is) or "all".
    """
    frames = [frames] * len(tokens) if isinstance(frames, int) else frames
    grid = tokens[:, tokens.shape[1] % eat.ROWS :].unflatten(1, (-1, eat.ROWS))  # (B, columns, 8, D)
    return torch.stack([_statistics(g, int(f), unit, take, unbiased) for g, f in zip(grid, frames, strict=True)])


def _statistics(grid, frames, unit, take, unbiased):
    grid = grid[: {"real": columns(frames), "whole": frames // PATCH, "all": len(grid)}[take]]
    values = grid.mean(1) if unit == "columns" else grid.flatten(0, 1)  # (n, D)
    return torch.cat([values.mean(0), values.std(0, unbiased=unbiased)])


@torch.inference_mode()
def token_batches(model, clips, layers=None, batch=8, device="cpu"):
    """Yield (keys, frames, tokens (B, 1 + N, D)) of ``clips``, an iterable of (key, waveform (samples,)).

    ``model`` is an EAT or another module with ``check_layers``, ``forward(inputs, layers)`` and its own front end,
    ``input_length(frames)`` and ``inputs(waves, length)``; BEATs gives (B, N, D).
    A key is a file name or a tuple that begins with one. A batch holds at most ``batch`` consecutive clips, all
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
def _input_batches(model, clips, batch):
    """Yield (keys, frames, inputs (B, 1, T, 128)) of each batch; errors name the clip."""
    front_end, length_of = getattr(model, "inputs", eat_inputs), getattr(model, "input_length", input_length)
    for length, group in groupby(clips, key=lambda clip: length_of(frame_count(len(clip[1])))):
        while members := list(islice(group, batch)):
            keys, waves = zip(*members, strict=True)
            frames = [frame_count(len(wave)) for wave in waves]
            with error_prefix(_names(keys)[0]):  # too short: as the padded lengths are equal, true of the first one
                inputs = front_end([torch.as_tensor(wave) for wave in waves], length)
            yield keys, frames, inputs


def _names(keys):
    return [key if isinstance(key, str) else key[0] for key in keys]


def _tokens(model, names, inputs, layers):
    """Return the tokens (B, 1 + N, D) of one batch; errors name the clip."""
    with error_prefix(names[0]):  # too long: true of the first one too
        tokens = model(inputs, layers=layers).float()
    finite = tokens.isfinite().flatten(1).all(1)
    if not finite.all():
        name = names[int(finite.int().argmin())]
        raise NearfarError(f"{name}: its tokens hold NaN or infinity; check the backbone's weights")
    return tokens


def embeddings(model, clips, pooling="columns", layers=None, batch=8, device="cpu"):
    """Yield (key, embedding (2D,) float32) of ``clips``, an iterable of (key, waveform (samples,)), in their order.

    ``pooling`` is a name in POOLINGS, ``layers`` the model's layers that are averaged (the last one by default).
    Raises NearfarError as token_batches does, and for an unknown pooling.
    """
    if pooling not in POOLINGS:
        raise NearfarError(f"pooling: {pooling!r} is not one of {', '.join(POOLINGS)}; choose one of these")
    for keys, frames, tokens in token_batches(model, clips, layers, batch, device):
        yield from zip(keys, pool(tokens, frames, **POOLINGS[pooling]).cpu().numpy(), strict=True)


def embed_machine(paths, backbone_folder, outputs, *, precision="float32", threads=1, device="cpu", **how):
    """Write the embeddings of the clips at ``paths``: one parquet file a channel, {channel: path} in ``outputs``.

    Rows are in the order of ``paths``, under the clips' file names. Each clip is read once, in one pass for all
    channels, whose waves share batches. ``precision`` "bfloat16" is the model's alone (autocast): front end and pooling
    stay in float32. ``how``: pooling, layers and batch, as ``embeddings`` takes them. Raises NearfarError for clips
    that cannot be read, and for two of the same name.
    """
    paths = [Path(path) for path in paths]
    names = [path.name for path in paths]
    _refuse_repeated(names)
    refuse_absent(device)
    torch.set_num_threads(threads)
    model = load_model(backbone_folder)
    half = precision == "bfloat16"
    with ExitStack() as stack, torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
        vectors = {channel: [] for channel in outputs}
        done = stack.enter_context(bar(None, "embed", total=len(paths)))
        clips, last = channel_waves(paths, outputs), list(outputs)[-1]
        for (_, channel), vector in embeddings(model, clips, device=device, **how):
            vectors[channel].append(vector)
            done.update(channel == last)  # a clip is done with its last channel
    for channel, path in outputs.items():
        write_vectors(path, names, vectors[channel])


def channel_waves(paths, channels):
    """Yield ((file name, channel), waveform (samples,)) of each clip and each of ``channels``, "near" or "far"."""
    needed = 1 + max(CHANNELS[channel] for channel in channels)
    for path in map(Path, paths):
        wave = read_clip(path, channels=needed)
        for channel in channels:
            yield (path.name, channel), wave[:, CHANNELS[channel]]


def _refuse_repeated(names):
    if not names:
        raise NearfarError("no clips to embed; name some, or check the folder of the machine")
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise NearfarError(f"{repeated[0]}: given twice ({len(repeated)} names in all); give each clip once")
