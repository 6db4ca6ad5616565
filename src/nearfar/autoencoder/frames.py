"""Inputs of the baseline's autoencoder: five neighbouring log-mel frames of the near channel, each clip by itself."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from nearfar.data.audio import NEAR, RATE
from nearfar.data.places import read_place
from nearfar.errors import NearfarError, error_prefix
from nearfar.jobs.progress import bar

MELS, N_FFT, HOP, POWER = 128, 1024, 512, 2.0
CONTEXT = 5  # frames that the autoencoder sees together
DIMS = MELS * CONTEXT
FLOOR = torch.finfo(torch.float64).eps  # keeps the logarithm of digital silence finite, -157 dB


class Frames(NamedTuple):
    """The log-mel frames of clips, one after another; windows are gathered by index, not stored five times over."""

    mels: torch.Tensor  # (frames, 128) float32, dB
    starts: torch.Tensor  # (windows,) int64, the first frame of each window; none reaches into the next clip
    clips: np.ndarray  # (windows,) the clip of each window


@cache
def _spectrogram():
    from torchaudio.transforms import MelSpectrogram

    return MelSpectrogram(RATE, N_FFT, hop_length=HOP, n_mels=MELS, power=POWER, mel_scale="slaney", norm="slaney")


def log_mel(wave: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Return the log-mel frames (1 + samples // 512, 128), float32 in dB, of a waveform (samples,).

    The official baseline's front end ("Official baseline" of DCASE 2026 Task 2): 128 bands, n_fft 1024, hop 512,
    power 2, 20 / power · log10. Its filters are not described: Slaney's scale and norm, windows centred and reflected
    at the ends. Raises NearfarError for a clip that has not five frames.
    """
    if frame_count(len(wave)) < CONTEXT:
        raise NearfarError(f"clip of {len(wave)} samples has no {CONTEXT} frames of the autoencoder; remove it")
    with torch.inference_mode():
        power = _spectrogram()(torch.as_tensor(wave))
        return (20 / POWER * power.clamp(min=FLOOR).log10()).T.contiguous()


def frame_count(samples: int) -> int:
    """Return the number of frames of a clip of ``samples``."""
    return 1 + samples // HOP


def read_log_mel(path: str | Path) -> torch.Tensor:
    """Return log_mel of a file's near channel; raises NearfarError as it and read_place do, naming the file."""
    near = torch.tensor(read_place(path, 1)[:, NEAR])
    with error_prefix(path):
        return log_mel(near)


def read_frames(paths: Sequence[str | Path], samples: Iterable[int]) -> Frames:
    """Return the Frames of clips of any lengths: paths and number of samples, both (clips,), from the clip table.

    One float32 copy of the frames is all that is held. Raises NearfarError as read_log_mel does.
    """
    counts = [frame_count(int(n)) for n in samples]
    mels, starts, first = torch.empty(sum(counts), MELS), [], 0
    for path, count in zip(bar(paths, "log-mel"), counts, strict=True):
        mels[first : first + count] = read_log_mel(path)
        starts.append(first + window_starts(count))
        first += count
    return Frames(mels, torch.cat(starts), np.repeat(np.arange(len(counts)), [len(part) for part in starts]))


def window_starts(frames: int) -> torch.Tensor:
    """Return the first frames (windows,) of the windows of one clip of ``frames``."""
    return torch.arange(frames - CONTEXT + 1)


def windows(mels: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """Return the windows (len(starts), 640) of mels (frames, 128) that begin at ``starts``, frame after frame."""
    return mels[starts[:, None] + torch.arange(CONTEXT, device=starts.device)].flatten(1)
