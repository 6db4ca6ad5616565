"""Inputs of adapter training: log-mels computed once, memory-mapped, and handed out in batches of equal length."""

from typing import NamedTuple

import numpy as np
import torch

from nearfar.backbones.fbank import MEAN, MELS, STD, eat_input, frame_count, input_length
from nearfar.data.audio import CHANNELS, probe, read_clip
from nearfar.data.clips import read_clips
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.files import read_table, replacing
from nearfar.jobs.progress import bar

PADDING = np.float16(-MEAN / (2 * STD))  # what the front end pads with


class Inputs(NamedTuple):
    """What a model is trained or probed on, one item a clip and channel."""

    mels: list  # (items) of memory-mapped float16 (longest, 128), of which the first input_length(frames) count
    frames: np.ndarray  # (items,) number of real frames
    files: np.ndarray  # (items,) file names
    classes: np.ndarray  # (items,) words
    machines: np.ndarray  # (items,) words
    domains: np.ndarray  # (items,) "source" | "target"


def write_inputs(paths, out, channels=("near",)):
    """Write EAT's inputs of one machine's clips as ``out``, npy float16 (clips, channels, frames, 128).

    Rows follow ``paths``, which the caller takes from its clips table in that table's order. A clip has its own
    padded length; what is left up to the machine's longest is padding that nothing reads. One clip is in memory
    at a time. Raises NearfarError for what read_clip refuses, and for clips too short, naming the file.
    """
    needed = 1 + max(CHANNELS[channel] for channel in channels)
    longest = max((input_length(frame_count(probe(path, needed))) for path in paths), default=0)
    with replacing(out) as temporary, open(temporary, "wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(paths), len(channels), longest, MELS)}
        np.lib.format.write_array_header_1_0(file, header)
        for path in bar(paths, "inputs"):
            wave = torch.from_numpy(read_clip(path, needed))
            for channel in channels:
                with error_prefix(path):
                    mel = eat_input(wave[:, CHANNELS[channel]])[0].numpy()
                padded = np.full((longest, MELS), PADDING, "<f2")
                padded[: len(mel)] = mel
                file.write(padded.tobytes())


def read_inputs(clips, arrays, classes=None, split="train"):
    """Return the Inputs of the clips of machines.

    clips, arrays, classes: paths, one a machine: the clip tables, what write_inputs made of their ``split``, and the
    tables of classes; where these are None, every class is "". Raises NearfarError for a file of inputs that is not
    of its clip table, and for a clip without a class.
    """
    columns = {name: [] for name in Inputs._fields}
    for number, (clip_table, path) in enumerate(zip(clips, arrays, strict=True)):
        table, array = read_clips(clip_table, split), np.load(path, mmap_mode="r")
        if len(array) != len(table["file"]):
            raise NearfarError(f"{path}: holds {len(array)} clips, not {len(table['file'])}; delete it and run again")
        label = dict.fromkeys(table["file"], "") if classes is None else _class_of(classes[number], table["file"])
        for row, clip in enumerate(array):
            columns["mels"] += list(clip)
            for name, value in (
                ("frames", frame_count(int(table["frames"][row]))),
                ("files", table["file"][row]),
                ("classes", label[table["file"][row]]),
                ("machines", table["machine"][row]),
                ("domains", table["domain"][row]),
            ):
                columns[name] += [value] * len(clip)  # once a channel
    return Inputs(columns.pop("mels"), *(np.array(values) for values in columns.values()))


def _class_of(path, files):
    table = read_table(path)
    label = dict(zip(table["file"], table["class"], strict=True))
    missing = [file for file in files if file not in label]
    if missing:
        raise NearfarError(f"{path}: has no class of {missing[0]} ({len(missing)} missing); delete it and run again")
    return label


def parts(inputs, rows, most):
    """Return ``rows`` cut into int arrays of at most ``most`` items, each of one padded length.

    A clip is embedded at its own padded length, as nearfar.backbones.embed does, so that a batch of mixed lengths gives
    every clip the embedding that it will have at extraction, and no padding beyond its own is attended to.
    """
    lengths = np.array([input_length(int(frames)) for frames in inputs.frames[rows]])
    found = []
    for length in np.unique(lengths):
        same = np.asarray(rows)[lengths == length]
        found += np.array_split(same, -(-len(same) // most))
    return found


def load(inputs, rows):
    """Return the log-mels, float32 (B, 1, T, 128), of items ``rows`` of one padded length."""
    length = input_length(int(inputs.frames[rows[0]]))
    # torch.tensor copies into torch's own aligned memory: matrix products may depend on the alignment
    return torch.tensor(np.stack([inputs.mels[row][:length] for row in rows]))[:, None].float()


def spec_augment(mels, frames, random, time=0, mel=0):
    """Set a stripe of up to ``time`` real frames and one of up to ``mel`` bands to each log-mel's mean, in place.

    mels: (B, 1, T, 128); frames: (B,) real frames; a stripe's width is uniform in 0 … its maximum.
    """
    for image, real in zip(mels[:, 0], frames, strict=True):
        mean = image[: int(real)].mean()
        for axis, widest, size in ((0, time, int(real)), (1, mel, MELS)):
            width = int(random.integers(min(widest, size) + 1))
            start = int(random.integers(size - width + 1))
            image.narrow(axis, start, width).fill_(mean)


def mix(mels, others, share):
    """Return normalised log-mels (B, 1, T, 128) of sounds that are ``share`` (B,) of one and the rest of the other.

    Their powers are added, as those of independent sounds are.
    """
    share = share.view(-1, 1, 1, 1)
    scale = 2 * STD  # normalised to natural logarithm; the mean takes no part in a sum of shares
    return torch.logaddexp(mels * scale + share.log(), others * scale + (1 - share).log()) / scale
