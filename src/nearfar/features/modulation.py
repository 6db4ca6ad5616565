"""How much each mel band of one signal swings, and how fast: the log-mel's deviation over time, split by rate."""

from collections.abc import Callable

import numpy as np

from nearfar.data.audio import RATE
from nearfar.data.signals import signal
from nearfar.errors import NearfarError
from nearfar.features.mel import mel_bank, mel_power
from nearfar.jobs.kinds import Count, Positive

HEARS = ("near", "far", "residual")  # the channels it can be computed for
FLOOR = 1e-10  # of a clip's mean power, as in nearfar.features.logmel


def extractor(
    *, mels: Count, n_fft: Count, hop: Count, rates: Count, slowest: Positive
) -> Callable[[np.ndarray, str], np.ndarray]:
    """Return ``extract(wave, channel) -> (mels * rates,) float32``: the root of the mean power of each band's swings.

    A swing is what the natural logarithm of a mel band does around its mean over the clip. Its power spectrum (one Hann
    window as long as the clip) is averaged in ``rates`` bands as wide as each other in octaves, from ``slowest`` in Hz
    to half the rate of the windows. Bands are rounded to bins, and in a short clip hold one at least. A gain changes
    nothing.

    ``extract`` takes float32 (frames, 2) and a name of SIGNALS, and raises NearfarError for another, for a clip shorter
    than one window and for a silent residual; making it raises one where ``slowest`` is not below half the rate.
    """
    bank, fastest = mel_bank(mels, n_fft), RATE / hop / 2
    if slowest >= fastest:
        raise NearfarError(f"slowest: windows each {hop} samples show swings below {fastest:g} Hz, not {slowest:g} Hz")
    edges = np.geomspace(slowest, fastest, rates + 1) / fastest

    def extract(wave, channel):
        power = mel_power(signal(wave, channel), bank, hop)
        level = np.log(np.maximum(power, FLOOR * power.mean()))
        swings = _power(level - level.mean(axis=1, keepdims=True))
        bins = np.rint(edges * level.shape[1] / 2).astype(int)
        starts = np.clip(bins[:-1], 1, swings.shape[1] - 1)
        parts = [swings[:, a : max(a + 1, b)].mean(axis=1) for a, b in zip(starts, bins[1:], strict=True)]
        return np.sqrt(np.stack(parts, axis=1)).ravel().astype(np.float32)

    return extract


def _power(levels):
    """Return the power (bands, 1 + windows // 2) of levels (bands, windows), on a scale free of how many there are."""
    windows = levels.shape[1]
    spectrum = np.fft.rfft(levels * np.hanning(windows + 1)[:-1].astype(levels.dtype))
    return (spectrum.real**2 + spectrum.imag**2) / windows
