"""Reading near/far clips."""

import numpy as np
import soundfile

from nearfar.errors import NearfarError

RATE = 16000  # Hz, the challenge's and every backbone's
NEAR, FAR = 0, 1
CHANNELS = {"near": NEAR, "far": FAR}
SILENCE = 1e-6  # a quarter of half a PCM_16 step: below it nothing was recorded


def probe(path, channels=2):
    """Return the number of frames of a clip after checking its header, as header does."""
    return header(path, channels).frames


def header(path, channels=2):
    """Return the header of a clip, soundfile's with frames and channels.

    Raises NearfarError for a file that is not audio, is empty or cut, or has another rate or fewer channels.
    """
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise NearfarError(f"{path}: not a readable wav file ({_reason(error)}); record or copy it again") from error
    if info.channels < channels:
        raise NearfarError(
            f"{path}: has {info.channels} channel where {channels} are needed; give a wav with near as 0 and far as 1"
        )
    if info.samplerate != RATE:
        raise NearfarError(f"{path}: sampled at {info.samplerate} Hz, not {RATE} Hz; resample it")
    if info.frames == 0:
        raise NearfarError(f"{path}: holds no samples; record or copy it again")
    _refuse_cut(path)
    return info


def read_clip(path, channels=2):
    """Return the samples of a clip, float32 in [-1, 1], shape (frames, channels).

    Raises NearfarError as probe does, and for NaN, infinite or silent audio.
    """
    frames = probe(path, channels)
    wave, _ = soundfile.read(path, dtype="float32", always_2d=True)
    if len(wave) < frames:
        raise NearfarError(f"{path}: cut short ({len(wave)} of {frames} frames); copy it again")
    if not np.isfinite(wave).all():
        raise NearfarError(f"{path}: holds NaN or infinite samples; export it again")
    for channel in range(channels):
        if np.abs(wave[:, channel] - wave[:, channel].mean()).max() < SILENCE:
            raise NearfarError(f"{path}: channel {channel} is silent; check the microphone or remove the clip")
    return wave[:, :channels]


def _refuse_cut(path):
    """Raise NearfarError where a RIFF header announces more data than the file holds.

    libsndfile clamps the frame count to what is there, so a cut copy would pass unnoticed.
    """
    with open(path, "rb") as file:
        head = file.read(12)
        size = file.seek(0, 2)
    announced = int.from_bytes(head[4:8], "little") + 8
    if head[:4] == b"RIFF" and announced < 2**32 and size + 1 < announced:
        raise NearfarError(f"{path}: cut short ({size} of {announced} bytes); copy it again")


def _reason(error):
    return str(error).split(": ")[-1].strip().rstrip(".") or type(error).__name__
