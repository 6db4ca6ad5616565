"""The mean spectrum of one signal in windows long enough to tell tones apart, which a log-mel smears into bands."""

from collections.abc import Callable

import numpy as np

from nearfar.data.signals import signal
from nearfar.features.mel import mel_bank, mel_power
from nearfar.jobs.kinds import Count

HEARS = ("near", "far", "residual")  # the channels it can be computed for
FLOOR = 1e-10  # of the mean over the bands, as in nearfar.features.logmel


def extractor(*, mels: Count, n_fft: Count, hop: Count) -> Callable[[np.ndarray, str], np.ndarray]:
    """Return ``extract(wave, channel) -> (mels,) float32``: the logarithm of each band's mean power over the clip.

    Power, not its logarithm, is averaged: the estimate of a steady spectrum with the least variance (Welch 1967). A
    gain adds the same to every band. A clip shorter than one window is padded with zeros.

    ``extract`` takes float32 (frames, 2) and a name of SIGNALS, and raises NearfarError for another and for a silent
    residual.
    """
    bank = mel_bank(mels, n_fft)

    def extract(wave, channel):
        samples = signal(wave, channel)
        samples = np.pad(samples, (0, max(0, n_fft - len(samples))))
        power = mel_power(samples, bank, hop).mean(axis=1)
        return np.log(np.maximum(power, FLOOR * power.mean()))

    return extract
