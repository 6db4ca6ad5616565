"""Where a clip lies: a file of the challenge, or a part of somebody's own recording. One way to read both."""

import re
from pathlib import Path

import numpy as np

from nearfar.data import audio
from nearfar.errors import NearfarError

PART = re.compile(r"(.+)#near=(\d+)(?:&far=(\d+))?&t=([\d.]+),([\d.]+)", re.DOTALL)  # after the W3C's media fragments


def place_of(path: str | Path, near: int, far: int | None, start: float, seconds: float) -> str:
    """Return the place of ``seconds`` of a recording from ``start`` on, near and far being channels of the file."""
    return f"{path}#near={near}" + ("" if far is None else f"&far={far}") + f"&t={start!r},{seconds!r}"


def read_place(place: str | Path, channels: int = 2) -> np.ndarray:
    """Return the samples of a clip, float32 (frames, channels) at 16 kHz, near first.

    A file is read as the challenge's are, strictly; a part of a recording as nearfar.data.recordings reads it. Raises
    NearfarError as they do, and for a second channel where there is one microphone.
    """
    if not (part := PART.fullmatch(str(place))):
        return audio.read_clip(place, channels)
    from nearfar.data.recordings import Recording, read_window

    path, near, far, start, seconds = part.groups()
    if far is None and channels > 1:
        raise NearfarError(f"{place}: one microphone, and a far one is needed (data.far is null)")
    wave = read_window(Recording(path, int(near), far if far is None else int(far)), float(start), float(seconds))
    return wave[:, :channels]


def frames_of(place: str | Path, channels: int = 2) -> int:
    """Return how many samples a clip has at 16 kHz; of a file, only its header is read."""
    if part := PART.fullmatch(str(place)):
        return round(float(part[5]) * audio.RATE)
    return audio.probe(place, channels)
