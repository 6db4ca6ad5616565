"""Mel spectra of one signal by numpy: the import of torch alone costs as much as those of a thousand clips."""

import numpy as np

from nearfar.data.audio import RATE
from nearfar.errors import NearfarError

BLOCK = 64  # windows that are transformed together: of more, the spectra leave the cache
BREAK, LINEAR, OCTAVES = 1000.0, 200 / 3, np.log(6.4) / 27  # Hz; Hz a mel below it, and their logarithm above


def mel_bank(mels: int, n_fft: int) -> np.ndarray:
    """Return the weights, float32 (n_fft // 2 + 1, mels), of each FFT bin in triangles of height one.

    Equal widths on the Slaney scale up to RATE / 2, as in the official DCASE baseline: on the HTK scale the lowest of
    128 hold one or two bins of n_fft 1024.
    """
    top = BREAK / LINEAR + np.log(RATE / 2 / BREAK) / OCTAVES
    points = np.linspace(0, top, mels + 2)
    hertz = np.minimum(points * LINEAR, BREAK) * np.exp(np.maximum(points - BREAK / LINEAR, 0) * OCTAVES)
    bins = np.linspace(0, RATE / 2, n_fft // 2 + 1)
    return np.stack([np.interp(bins, hertz[i : i + 3], (0, 1, 0)) for i in range(mels)], axis=1).astype(np.float32)


def mel_power(samples: np.ndarray, bank: np.ndarray, hop: int) -> np.ndarray:
    """Return the power in each mel band, float32 (mels, 1 + samples // hop), of float32 ``samples`` (samples,).

    Periodic Hann windows as long as ``bank`` (of mel_bank) asks for, centred, the ends reflected. Raises NearfarError
    for a clip shorter than one window.
    """
    n_fft = 2 * (len(bank) - 1)
    if len(samples) < n_fft:
        raise NearfarError(f"clip of {len(samples)} frames, shorter than n_fft {n_fft}; remove it")
    padded, hann = np.pad(samples, n_fft // 2, mode="reflect"), np.hanning(n_fft + 1)[:-1].astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    power = [_power(windows[start : start + BLOCK] * hann) @ bank for start in range(0, len(windows), BLOCK)]
    return np.concatenate(power).T


def _power(windows):
    spectrum = np.fft.rfft(windows)
    return spectrum.real**2 + spectrum.imag**2
