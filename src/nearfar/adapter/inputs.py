"""Inputs of adapter training: log-mels computed once, memory-mapped, and handed out in batches of equal length."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from nearfar.backbones.fbank import MELS, PADDING, eat_input, frame_count, input_length
from nearfar.data.clips import read_clips
from nearfar.data.places import frames_of, read_place
from nearfar.data.signals import channels_of, signal
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import new_array
from nearfar.jobs.progress import bar
from nearfar.learning.classes import read_classes


class Inputs(NamedTuple):
    """What a model is trained on, one item a clip and channel."""

    mels: list[np.ndarray]  # (items) of memory-mapped float16 (longest, 128): the first input_length(frames) count
    frames: np.ndarray  # (items,) number of real frames
    classes: np.ndarray  # (items,) words
    machines: np.ndarray  # (items,) words
    domains: np.ndarray  # (items,) "source" | "target"


def write_inputs(paths: Sequence[str | Path], out: str | Path, channels: Sequence[str]) -> None:
    """Write EAT's inputs of one machine's clips as ``out``, npy float16 (clips, channels, frames, 128).

    Rows follow ``paths``, which the caller takes from its clips table in that table's order. A clip has its own
    padded length; what is left up to the machine's longest is padding that nothing reads. One clip is in memory
    at a time. channels: names of SIGNALS. Raises NearfarError for what read_place refuses, for a silent residual and
    for clips too short, naming the file.
    """
    needed = channels_of(channels)
    longest = max((input_length(frame_count(frames_of(path, needed))) for path in paths), default=0)
    with new_array(out, np.float16, (len(paths), len(channels), longest, MELS)) as array:
        array[:] = PADDING
        for row, path in zip(array, bar(paths, "inputs"), strict=True):
            wave = read_place(path, needed)
            for mels, channel in zip(row, channels, strict=True):
                with error_prefix(path):
                    mel = eat_input(torch.from_numpy(signal(wave, channel)))[0].numpy()
                mels[: len(mel)] = mel


def read_inputs(clips: Iterable[str], arrays: Iterable[str], classes: Iterable[str]) -> Inputs:
    """Return the Inputs of the training clips of machines.

    clips, arrays, classes: paths, one a machine: the clip tables, what write_inputs made of them, and the tables of
    classes. Raises NearfarError for a file of inputs that is not of its clip table, and for a clip without a class.
    """
    columns = {name: [] for name in Inputs._fields}
    for clip_table, path, class_table in zip(clips, arrays, classes, strict=True):
        table, array = read_clips(clip_table), np.load(path, mmap_mode="r")
        if len(array) != len(table["file"]):
            raise NearfarError(f"{path}: holds {len(array)} clips, not {len(table['file'])}; delete it and run again")
        columns["mels"] += [mel for clip in array for mel in clip]
        for name, values in (
            ("frames", [frame_count(int(samples)) for samples in table["frames"]]),
            ("classes", read_classes(class_table, table["file"])),
            ("machines", table["machine"]),
            ("domains", table["domain"]),
        ):
            columns[name] += [value for value in values for _ in range(array.shape[1])]  # once a channel
    return Inputs(columns.pop("mels"), *(np.array(values) for values in columns.values()))


def by_length(inputs: Inputs, rows: np.ndarray) -> list[np.ndarray]:
    """Return ``rows`` cut into int arrays, each of one padded length.

    A clip is embedded at its own padded length, as nearfar.backbones.embed does, so that a batch of mixed lengths gives
    every clip the embedding that it will have at extraction, and no padding beyond its own is attended to.
    """
    lengths = np.array([input_length(int(frames)) for frames in inputs.frames[rows]])
    return [rows[lengths == length] for length in np.unique(lengths)]


def load(inputs: Inputs, rows: np.ndarray) -> torch.Tensor:
    """Return the log-mels, float32 (B, 1, T, 128), of items ``rows`` of one padded length."""
    length = input_length(int(inputs.frames[rows[0]]))
    # torch.tensor copies into torch's own aligned memory: matrix products may depend on the alignment
    return torch.tensor(np.stack([inputs.mels[row][:length] for row in rows]))[:, None].float()
