"""What the samples of a machine's clips make doubtful, where they may be right all the same."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nearfar.data.audio import FAR, NEAR, Content
from nearfar.data.places import read_place

BEYOND = 2.0  # 6 dB over full scale: filters and resampling overshoot by less, other units by more
LEAST = 1.0  # dB between near and far without which nothing tells them apart
OTHERS = 20  # clips of which the usual lead is taken
FARTHEST = 512  # frames (32 ms, 11 m of air) within which the lead is looked for


def doubts(clips: Mapping[Path | str, Content]) -> list[tuple[Path | str, str]]:
    """Return (clip, doubt) pairs for clips with samples far beyond [-1, 1] and for those that look swapped.

    clips: what the samples of each clip of one machine say, by its place.
    """
    loud = [(path, "has samples far beyond [-1, 1]; scale it if its unit is another") for path in _beyond(clips)]
    return loud + [
        (path, "its near and far channel look swapped; compare it with the others") for path in _swapped(clips)
    ]


def lead(wave: np.ndarray) -> int:
    """Return by how many frames the near channel of a wave (frames, 2) leads the far one; negative where it lags.

    It is the peak of the cross-correlation with its spectrum whitened (Knapp and Carter 1976, PHAT).
    """
    size = 1 << (len(wave) + FARTHEST).bit_length()
    spectra = np.fft.rfft(wave - wave.mean(axis=0), size, axis=0)
    cross = spectra[:, NEAR].conj() * spectra[:, FAR]
    correlation = np.fft.irfft(cross / np.maximum(np.abs(cross), np.finfo(np.float64).tiny), size)
    return int(np.argmax(np.roll(correlation, FARTHEST)[: 2 * FARTHEST + 1])) - FARTHEST


def _beyond(clips):
    return [path for path, content in clips.items() if content.peak > BEYOND]


def _swapped(clips):
    """Return the clips that are louder and earlier at the far microphone, where the others are at the near one."""
    usual = np.median([content.level for content in clips.values()] or [0.0])
    mirrored = {path for path, content in clips.items() if content.level * np.sign(usual) < -abs(usual) / 2}
    if abs(usual) < LEAST or not mirrored:
        return []
    others = [path for path in clips if path not in mirrored]
    ahead = np.median([lead(read_place(path)) for path in others[:: -(-len(others) // OTHERS)]])
    return [path for path in sorted(mirrored) if ahead * lead(read_place(path)) <= 0]
