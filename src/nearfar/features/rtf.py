"""Relative transfer function from the near to the far microphone, the view of the spatial detector."""

from collections.abc import Callable

import numpy as np

from nearfar.data.audio import FAR, NEAR, RATE
from nearfar.errors import NearfarError
from nearfar.jobs.kinds import Amount, Count

HEARS = ("pair",)  # the channels it can be computed for
LEAST = 1e-10  # keeps log|H| finite where a far band holds nothing; H has no unit, so no gain reaches it


def extractor(*, bands: Count, n_fft: Count, hop: Count, floor: Amount) -> Callable[[np.ndarray, str], np.ndarray]:
    """Return ``extract(wave, channel) -> (3 * bands,) float32``: log|H|, cos∠H, sin∠H, ``bands`` values each.

    H(f) = S_fn(f) / S_nn(f), the Welch estimate (Hann windows, cross-spectra averaged over all windows of
    the clip), is formed in each FFT bin; H of a band is the mean, as complex numbers, of H over its bins;
    only then come logarithm and angle. S_nn is floored at ``floor`` times its mean over bins, so a gain on
    both channels changes nothing.

    A delay between the microphones turns the phase by 2π·delay·Δf across a band: where that nears a full
    turn (1/delay wide), |H| of the band falls below the mean of |H|.

    ``extract`` takes float32 (frames, 2) and "pair", and raises NearfarError for another channel and for
    a clip shorter than one window; making it raises one where the bands do not fit.
    """
    edges = mel_edges(bands, n_fft)

    def extract(wave, channel):
        if channel != "pair":
            raise NearfarError(f"rtf/{channel}: rtf compares both channels; write rtf/pair")
        transfer = band_means(transfer_function(wave, n_fft, hop, floor), edges)
        unit = np.exp(1j * np.angle(transfer))
        return np.concatenate([np.log(np.abs(transfer) + LEAST), unit.real, unit.imag]).astype(np.float32)

    return extract


def transfer_function(wave: np.ndarray, n_fft: int, hop: int, floor: float) -> np.ndarray:
    """Return H = S_fn / S_nn in each FFT bin, complex (n_fft // 2 + 1,), of a wave (frames, 2)."""
    spectra = stft(wave, n_fft, hop)
    near, far = spectra[NEAR], spectra[FAR]
    auto = np.mean(np.abs(near) ** 2, axis=0)
    return np.mean(far * near.conj(), axis=0) / np.maximum(auto, floor * auto.mean())


def stft(wave: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """Return Hann-windowed spectra, complex (2, windows, n_fft // 2 + 1), of a wave (frames, 2).

    The mean of each channel is taken out first: a microphone's offset would leak into the lowest band.
    Raises NearfarError for a wave shorter than one window.
    """
    if len(wave) < n_fft:
        raise NearfarError(f"clip of {len(wave)} frames, shorter than n_fft {n_fft}; remove it")
    centred = (wave - wave.mean(axis=0)).T
    windows = np.lib.stride_tricks.sliding_window_view(centred, n_fft, axis=1)[:, ::hop]
    return np.fft.rfft(windows * np.hanning(n_fft + 1)[:-1])


def mel_edges(bands: int, n_fft: int) -> np.ndarray:
    """Return the FFT bins (bands + 1,) that bound contiguous bands of equal width in mel (HTK), without DC.

    Low bands narrower than a bin are widened to one. Raises NearfarError where that leaves too few bins.
    """
    mels = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), bands + 1)
    edges = np.round(700 * (10 ** (mels / 2595) - 1) * n_fft / RATE).astype(int)
    edges[0], edges[-1] = 1, n_fft // 2 + 1
    steps = np.arange(bands + 1)
    edges = np.maximum.accumulate(edges - steps) + steps
    if edges[-1] > n_fft // 2 + 1:
        raise NearfarError(f"bands: {bands} mel bands do not fit n_fft {n_fft}; lower bands or raise n_fft")
    return edges


def band_sums(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the sums of (..., bins) over each band, (..., bands)."""
    return np.add.reduceat(values[..., : edges[-1]], edges[:-1], axis=-1)


def band_means(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the means of (..., bins) over the bins of each band, (..., bands)."""
    return band_sums(values, edges) / np.diff(edges)
