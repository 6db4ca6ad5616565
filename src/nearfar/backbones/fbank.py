"""Frames and patches of all families, and EAT's front end: 16 kHz waveforms to normalised log-mel spectrograms."""

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torchaudio.compliance import kaldi

from nearfar.errors import NearfarError

RATE, MELS, PATCH = 16000, 128, 16
ROWS = MELS // PATCH  # mel patches in a time column
WINDOW, SHIFT = 400, 160  # samples: 25 ms and 10 ms
TRAINED = 1024  # frames of the 10 s clips that EAT was trained on
MEAN, STD = -4.268, 4.569  # of AudioSet's log-mels, as EAT was trained
PADDING = np.float16(-MEAN / (2 * STD))  # what eat_input puts where a clip has no frame, as stored


def fbank(wave: torch.Tensor) -> torch.Tensor:
    """Return the log-mel spectrogram (frames, 128) of a waveform (samples,) in [-1, 1]; 998 frames for 10 s.

    Raises NearfarError for a wave shorter than one window.
    """
    if len(wave) < WINDOW:
        raise NearfarError(f"clip of {len(wave)} samples is shorter than one window ({WINDOW}); remove it")
    # The mean in float64: summed in float32 it, and the quiet bins, would depend on the number of threads.
    centred = wave - wave.double().mean().to(wave.dtype)
    return kaldi.fbank(
        centred[None],
        htk_compat=True,
        sample_frequency=RATE,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=MELS,
        dither=0.0,
        frame_shift=10,
    )


def frame_count(samples: int) -> int:
    """Return the number of frames of a clip of ``samples``."""
    return max(0, 1 + (samples - WINDOW) // SHIFT)


def columns(frames: int) -> int:
    """Return the number of time columns that hold at least one of ``frames`` frames."""
    return -(-frames // PATCH)


def input_length(frames: int) -> int:
    """Return the frames that EAT is given for a clip of ``frames``: whole columns, and 1024 for 10 s.

    EAT was trained on 10 s in 64 columns, one more than the 998 frames need.
    """
    length = columns(frames) * PATCH
    return TRAINED if length == TRAINED - PATCH else length


def eat_input(wave: torch.Tensor, length: int | None = None) -> torch.Tensor:
    """Return EAT's input (1, T, 128) of a waveform (samples,): T = ``length``, by default input_length.

    The log-mel is padded with zeros, or cut, and only then normalised: padding is the constant +0.467.
    """
    mel = fbank(wave)
    length = input_length(len(mel)) if length is None else length
    mel = F.pad(mel[:length], (0, 0, 0, max(0, length - len(mel))))
    return ((mel - MEAN) / (2 * STD))[None]


def eat_inputs(waves: Iterable[torch.Tensor], length: int | None = None) -> torch.Tensor:
    """Return EAT's input (B, 1, T, 128) of B waveforms (samples,) that are equally long once padded."""
    return torch.stack([eat_input(wave, length) for wave in waves])
