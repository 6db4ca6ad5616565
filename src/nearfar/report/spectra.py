"""What the report shows and compares of a clip: the level of each mel band in each window, in dB, of each signal."""

import numpy as np

from nearfar.data.audio import RATE
from nearfar.data.signals import HANN, PEAK, WINDOW, spectra, without_far
from nearfar.features.rtf import mel_edges

BANDS = 64  # of equal width in mel
LEAST = 1e-10  # added to a power: -100 dB of full scale
EDGES = mel_edges(BANDS, WINDOW)  # FFT bins
HERTZ = np.minimum(EDGES * RATE / WINDOW, RATE / 2)  # (BANDS + 1,) what bounds the bands


def spectra_of(wave: np.ndarray) -> dict[str, np.ndarray]:
    """Return the spectra, complex (windows, bins) as nearfar.data.signals.spectra has them, of the signals of a wave.

    A wave (samples, 1) has "near" alone, one of two microphones all of nearfar.data.signals.SIGNALS.
    """
    found = dict(zip(("near", "far"), spectra(wave), strict=False))
    if len(found) > 1:
        found["residual"] = without_far(*found.values(), scale=np.float64(np.abs(wave).max()) / PEAK)
    return found


def log_mels(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the map (BANDS, windows), float32 in dB of full scale, of each spectrum."""
    return {name: levels(part, EDGES, HANN) for name, part in found.items()}


def levels(spectrum: np.ndarray, edges: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Return the level of each band, float32 (bands, windows) in dB, of a spectrum (windows, bins)."""
    power = spectrum.real**2 + spectrum.imag**2
    bands = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1) / (np.square(window).sum() * len(window) / 2)
    return (10 * np.log10(bands.T + LEAST)).astype(np.float32)
