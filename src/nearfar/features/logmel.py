"""Log-mel statistics of one signal, the view of the raw detector."""

from collections.abc import Callable

import numpy as np

from nearfar.data.signals import SIGNALS, signal
from nearfar.errors import NearfarError
from nearfar.features.mel import mel_bank, mel_power
from nearfar.jobs.kinds import Count

HEARS = ("near", "far", "residual")  # the channels it can be computed for
FLOOR = 1e-10  # -100 dB below the clip's mean mel power, under the rounding noise of PCM_16


def extractor(*, mels: Count, n_fft: Count, hop: Count) -> Callable[[np.ndarray, str], np.ndarray]:
    """Return ``extract(wave, channel) -> (2 * mels,) float32``: mean, then standard deviation, over time.

    The mel power is floored relative to the clip's own mean before the natural logarithm, so a gain g
    adds 2 ln g to every mean and leaves every standard deviation as it is: it shifts all clips alike and
    vanishes when a detector centres them.

    ``extract`` takes float32 (frames, 2) and a name of SIGNALS, and raises NearfarError for another, for a clip
    shorter than one window and for a silent residual.
    """
    bank = mel_bank(mels, n_fft)

    def extract(wave, channel):
        if channel not in SIGNALS:
            known = ", ".join(f"logmel/{name}" for name in SIGNALS)
            raise NearfarError(f"logmel/{channel}: logmel hears one signal; write one of {known}")
        power = mel_power(signal(wave, channel), bank, hop)
        logarithm = np.log(np.maximum(power, FLOOR * power.mean()))
        return np.concatenate([logarithm.mean(axis=1), logarithm.std(axis=1)])

    return extract
