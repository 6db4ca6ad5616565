"""Log-mel statistics of one signal, the view of the raw detector."""

from collections.abc import Callable

import numpy as np
import torch
from torchaudio.transforms import MelSpectrogram

from nearfar.data.audio import RATE
from nearfar.data.signals import SIGNALS, signal
from nearfar.errors import NearfarError
from nearfar.jobs.kinds import Count

HEARS = ("near", "far", "residual")  # the channels it can be computed for
FLOOR = 1e-10  # -100 dB below the clip's mean mel power, under the rounding noise of PCM_16


def extractor(*, mels: Count, n_fft: Count, hop: Count) -> Callable[[np.ndarray, str], np.ndarray]:
    """Return ``extract(wave, channel) -> (2 * mels,) float32``: mean, then standard deviation, over time.

    The mel power is floored relative to the clip's own mean before the natural logarithm, so a gain g
    adds 2 ln g to every mean and leaves every standard deviation as it is: it shifts all clips alike and
    vanishes when a detector centres them. Mel bands are on the Slaney scale, as in the official DCASE
    baseline: on the HTK scale the lowest of 128 hold one or two bins of n_fft 1024.

    ``extract`` takes float32 (frames, 2) and a name of SIGNALS, and raises NearfarError for another, for a clip
    shorter than one window and for a silent residual.
    """
    spectrogram = MelSpectrogram(RATE, n_fft, hop_length=hop, n_mels=mels, power=2.0, mel_scale="slaney")

    def extract(wave, channel):
        if channel not in SIGNALS:
            known = ", ".join(f"logmel/{name}" for name in SIGNALS)
            raise NearfarError(f"logmel/{channel}: logmel hears one signal; write one of {known}")
        if len(wave) < n_fft:
            raise NearfarError(f"logmel: clip of {len(wave)} frames, shorter than n_fft {n_fft}; remove it")
        with torch.inference_mode():
            power = spectrogram(torch.tensor(signal(wave, channel)))
            logarithm = power.clamp(min=FLOOR * power.mean()).log()
            return torch.cat([logarithm.mean(1), logarithm.std(1, correction=0)]).numpy()

    return extract
