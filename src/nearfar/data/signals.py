"""The signals of a clip: what its two microphones recorded, and what the near one heard that the far one did not."""

import json
import sys
import weakref
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nearfar.data.audio import CHANNELS, FAR, NEAR, SILENCE
from nearfar.data.clips import read_clips
from nearfar.data.places import read_place
from nearfar.errors import NearfarError, one_of
from nearfar.jobs.files import write_text

SIGNALS = (*CHANNELS, "residual")
WINDOW, HOP = 1024, 512  # samples, 64 and 32 ms
PEAK = 0.9  # of both channels, before what is added to a power
HEARD = 50  # training clips that the judgement of a far microphone rests on
# The simulated machines have 0.11 to 0.19 and 3.6 dB; emulated ones, deep in noise that both hear, 0.11 and 0.1 to 0.3
# dB; two microphones 7 cm apart, −6 to 6 dB above diffuse noise, 0.17 to 0.67 and less than 0.1 dB (docs/evidence.md).
COHERENT, LEVEL = 0.15, 1.5  # mean coherence above which, and dB below which, far is not far
LEAST = 1e-12  # added to the far power, so that a silent far channel takes nothing away
EDGE = 1e-3  # least sum of squared windows: at a clip's end it can be 1e-9, and rounding would be heard as a click
HANN = np.hanning(WINDOW + 1)[:-1]  # periodic
_last = None, None  # a weak reference to a wave, and its residual


def signal(wave: np.ndarray, name: str) -> np.ndarray:
    """Return the signal ``name`` of SIGNALS, float32 (samples,), of a wave (samples, 2), or (samples, 1) for "near".

    The wave is not to be changed between two calls. Raises NearfarError for another name, and for a residual that is
    silent.
    """
    if one_of("signal", name, SIGNALS) in CHANNELS:
        return wave[:, CHANNELS[name]]
    left = _residual_of(wave)
    if np.ptp(left) <= SILENCE * np.abs(wave).max():
        raise NearfarError("its residual is silent: the far channel holds all of the near one; remove the clip")
    return left


def _residual_of(wave):
    """Return the residual of a wave, at once where it is the array of the last call: features of a clip take turns."""
    global _last
    known, left = _last
    if known is None or known() is not wave:
        left = residual(wave)
        _last = weakref.ref(wave), left  # one assignment, so that threads do not mix two waves
    return left


def channels_of(names: Iterable[str]) -> int:
    """Return how many channels a clip must have for the signals ``names``: mono is near alone."""
    return 1 if set(names) == {"near"} else len(CHANNELS)


def residual(wave: np.ndarray) -> np.ndarray:
    """Return the near channel less what a filter makes of the far one, float32 (samples,), of a wave (samples, 2).

    The filter is the one of least squares over the clip, in each frequency of an STFT by itself:
    H = Σ C F* / (Σ |F|² + 1e-12), C near, F far, both scaled to a joint peak of 0.9. What is left is C − H F.
    A gain on both channels is one on the residual; a silent far channel leaves the near one, and near = far silence.
    """
    peak = np.abs(wave).max()
    if not peak:
        return np.zeros(len(wave), np.float32)
    left = without_far(*spectra(wave * (PEAK / np.float64(peak))))
    return (overlapped(left, len(wave)) * (peak / PEAK)).astype(np.float32)


def without_far(near: np.ndarray, far: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Return C − H F, the spectrum (windows, bins) of ``residual``, of near and far at a peak of 0.9 × ``scale``."""
    path = np.sum(near * far.conj(), axis=0) / (_power(far) + LEAST * scale**2)
    return near - path * far


def judge(clips: str | Path, path: str | Path, *, machine: str) -> None:
    """Write whether the far microphone of a machine is far from it, as JSON: far, coherence and level.

    clips: path of the training clips' table. Coherence and level (``coherence_and_level``) are medians over at most
    HEARD of them. Where the two microphones hear the same, equally loud, the residual loses the machine too;
    that is said on stderr, and a system that listens to the normal clips' scale leaves the residual out.
    """
    table = read_clips(clips)
    chosen = table["place"][:: -(-len(table["place"]) // HEARD)]
    heard = np.median([coherence_and_level(read_place(place)) for place in chosen], axis=0)
    coherence, level = (round(float(value), 3) for value in heard)
    far = not (coherence > COHERENT and abs(level) < LEVEL)
    if not far:
        print(
            f"nearfar: warning: {machine}: its far microphone hears what the near one does (coherence {coherence}, "
            f"{level} dB quieter); residuals are left out where a system allows it",
            file=sys.stderr,
            flush=True,
        )
    write_text(path, json.dumps({"far": far, "coherence": coherence, "level": level}) + "\n")


def coherence_and_level(wave: np.ndarray) -> tuple[float, float]:
    """Return how far the far microphone is from the near one, by what a wave (samples, 2) holds.

    First the magnitude-squared coherence of the two (Welch, the STFT of ``residual``), the mean over frequencies, from
    0 to 1, where both microphones hear the same through one filter each; then the level of near over far in dB.
    """
    near, far = spectra(np.asarray(wave, np.float64) - np.mean(wave, axis=0, dtype=np.float64))
    powers, tiny = np.stack([_power(near), _power(far)]), np.finfo(np.float64).tiny
    coherence = np.abs(np.sum(near * far.conj(), axis=0)) ** 2 / np.maximum(powers.prod(axis=0), tiny)
    levels = 10 * np.log10(np.maximum(powers.sum(axis=1), tiny))
    return float(coherence.mean()), float(levels[NEAR] - levels[FAR])


def spectra(wave: np.ndarray) -> np.ndarray:
    """Return the STFT, complex (2, 1 + samples // 512, 513), of a wave (samples, 2).

    Windows of 1024 samples (periodic Hann), hop 512, centred, the ends reflected.
    """
    padded = np.pad(np.asarray(wave, np.float64).T, ((0, 0), (WINDOW // 2, WINDOW // 2)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, ::HOP]
    return np.stack([np.fft.rfft(channel * HANN) for channel in windows])  # one by one: both exceed a cache


def _power(spectrum):
    """Return Σ |X|² over the windows, (bins,), of a spectrum (windows, bins)."""
    return np.sum(spectrum.real**2 + spectrum.imag**2, axis=0)


def overlapped(spectrum: np.ndarray, samples: int) -> np.ndarray:
    """Return the wave (samples,) of a spectrum (windows, bins): the windows' least-squares overlap-add."""
    windows = np.fft.irfft(spectrum, WINDOW) * HANN
    halves, weights = np.zeros((2, len(windows) + 1, HOP))  # hop is half a window, so two overlap
    for part, places in ((0, slice(None, -1)), (1, slice(1, None))):
        rows = slice(part * HOP, (part + 1) * HOP)
        halves[places] += windows[:, rows]
        weights[places] += HANN[rows] ** 2
    whole = (halves / np.maximum(weights, EDGE)).ravel()
    return whole[WINDOW // 2 : WINDOW // 2 + samples]
