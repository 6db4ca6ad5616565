"""Reading near/far clips."""

import os
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile

from nearfar.data.container import Sound, walk
from nearfar.errors import NearfarError, error_prefix

RATE = 16000  # Hz, the challenge's and every backbone's
NEAR, FAR = 0, 1
CHANNELS = {"near": NEAR, "far": FAR}
SHORTEST = 400  # frames: the 25 ms of one window of the backbones' front end; a view with longer ones refuses more
SILENCE = 1e-6  # a quarter of half a PCM_16 step: below it nothing was recorded
ALIKE = 1e-6  # of the far channel's energy: less than two microphones ever differ by, more than PCM_16 rounds off


class Content(NamedTuple):
    """What the samples of a clip say: its ``frames``, its largest absolute sample, and near over far in dB."""

    frames: int
    peak: float
    level: float


def probe(path: str | Path, channels: int = 2) -> int:
    """Return the number of frames of a clip after checking its header, as header does."""
    return header(path, channels).frames


def header(path: str | Path, channels: int = 2) -> Sound:
    """Return the channels, rate and frames of a clip, which has ``channels`` channels or the two of near and far.

    Raises NearfarError for a file that cannot be read, is not audio, is empty, cut or too short, whose header says
    other than it holds, or that has another rate or other channels.
    """
    with error_prefix(path):
        with opened(path) as file:
            sound = walk(file)
        if sound.channels < channels:
            raise NearfarError(
                f"has {sound.channels} channel where {channels} are needed; give a wav with near as 0 and far as 1"
            )
        if sound.channels > len(CHANNELS):  # which of them is near, and which far, nobody said
            raise NearfarError(f"has {sound.channels} channels, not 2; give a wav with near as 0 and far as 1 alone")
        if sound.rate != RATE:
            raise NearfarError(f"sampled at {sound.rate} Hz, not {RATE} Hz; resample it")
        if sound.frames == 0:
            raise NearfarError("holds no samples; record or copy it again")
        if sound.frames < SHORTEST:
            raise NearfarError(f"too short ({sound.frames} of at least {SHORTEST} samples); remove it")
    return sound


def read_clip(path: str | Path, channels: int = 2) -> np.ndarray:
    """Return the samples of a clip, float32 (frames, channels), in [-1, 1] but for float files that go beyond.

    Raises NearfarError as header does, and for NaN, infinite or silent audio.
    """
    sound = header(path, channels)
    with error_prefix(path):
        wave = _decoded(path, sound)[:, :channels]
        refuse_empty(wave)
    return wave


def refuse_empty(wave: np.ndarray) -> None:
    """Raise NearfarError for a wave (frames, channels) that holds NaN or infinity, or a silent channel."""
    if not np.isfinite(wave).all():
        raise NearfarError("holds NaN or infinite samples; export it again")
    for channel, samples in enumerate(wave.T):
        if np.abs(samples - samples.mean()).max() < SILENCE:
            raise NearfarError(f"channel {channel} is silent; check the microphone or remove the clip")


def content(path: str | Path, channels: int = 2) -> Content:
    """Return the Content of a clip of two channels, or of one, whose level is 0.

    Raises NearfarError as read_clip does, and where a gain alone tells the channels apart: one microphone was recorded
    twice, and what is heard between the two is nothing.
    """
    wave = read_clip(path, channels)
    if channels == 1:
        return Content(len(wave), float(max(wave.max(), -wave.min())), 0.0)
    with error_prefix(path):
        level = level_of(wave)
    return Content(len(wave), float(max(wave.max(), -wave.min())), level)


def level_of(wave: np.ndarray) -> float:
    """Return near over far in dB of a wave (frames, 2); raises NearfarError where a gain alone tells them apart."""
    near, far = np.array(wave.T, np.float64)
    near, far = near - near.mean(), far - far.mean()
    nn, ff, nf = (np.einsum("i,i", *pair) for pair in ((near, near), (far, far), (near, far)))  # without BLAS's threads
    if nn * ff - nf**2 < ALIKE * nn * ff:
        what = "equal" if np.array_equal(wave[:, NEAR], wave[:, FAR]) else f"equal but for a gain of {nf / nn:.3g}"
        raise NearfarError(f"its channels are {what}; give the near and the far microphone's own recording")
    return float(10 * np.log10(nn / ff))


def opened(path: str | Path) -> BinaryIO:
    """Return the file, open to read. Raises NearfarError where it is no file or may not be read."""
    try:
        kind = os.stat(path).st_mode
        if not stat.S_ISREG(kind):  # opening a pipe would wait for its writer
            raise NearfarError(f"is {'a folder' if stat.S_ISDIR(kind) else 'no file'}, not a recording; remove it")
        return open(path, "rb")
    except FileNotFoundError:
        raise NearfarError("no such file; copy it again or correct the name") from None
    except PermissionError:
        raise NearfarError("no permission to read it; give it with chmod u+r") from None
    except OSError as error:
        raise NearfarError(f"cannot be read ({error.strerror}); copy it again") from error


def _decoded(path, sound):
    """Return the samples as float32 (frames, all channels). Raises NearfarError where libsndfile finds others."""
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            known = file.frames
            wave = file.read(sound.frames, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise NearfarError(f"not a readable wav file ({reason_of(error)}); record or copy it again") from error
    if wave.shape != (sound.frames, sound.channels) or (known != sound.frames and not sound.streamed):
        raise NearfarError(
            f"libsndfile reads {known} frames of {wave.shape[1]} channels where the header says {sound.frames} of "
            f"{sound.channels}; export it again"
        )
    return wave


def reason_of(error: Exception) -> str:
    """Return what libsndfile or the system says of a file, without its name."""
    return str(error).split(": ")[-1].strip().rstrip(".") or type(error).__name__
