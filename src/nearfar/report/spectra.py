"""What the report shows and compares of a clip: the level of each mel band in each window, in dB, of each signal."""

import numpy as np

from nearfar.data.audio import RATE
from nearfar.data.signals import HANN, PEAK, WINDOW, without_far
from nearfar.features.rtf import mel_edges

BANDS = 64  # of equal width in mel
LEAST = 1e-10  # added to a power: -100 dB of full scale
EDGES = mel_edges(BANDS, WINDOW)  # FFT bins
HERTZ = np.minimum(EDGES * RATE / WINDOW, RATE / 2)  # (BANDS + 1,) what bounds the bands


def log_mels(wave: np.ndarray, spectrum: np.ndarray) -> dict[str, np.ndarray]:
    """Return the maps (BANDS, windows) float32 in dB of full scale of the signals of a wave (samples, 1 or 2).

    spectrum: what nearfar.data.signals.spectra makes of the wave. One microphone has "near" alone, two have all of
    nearfar.data.signals.SIGNALS.
    """
    spectrum = dict(zip(("near", "far"), spectrum, strict=False))
    if len(spectrum) > 1 and (peak := np.abs(wave).max()):
        scale = peak / PEAK
        spectrum["residual"] = without_far(*(part / scale for part in spectrum.values())) * scale
    return {name: levels(part, EDGES, HANN) for name, part in spectrum.items()}


def levels(spectrum: np.ndarray, edges: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Return the level of each band, float32 (bands, windows) in dB, of a spectrum (windows, bins)."""
    power = (spectrum.real**2 + spectrum.imag**2) / np.square(window).sum() / len(window) * 2
    bands = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1)
    return (10 * np.log10(bands.T + LEAST)).astype(np.float32)
