"""Log-mel statistics of one channel, the view of the raw detector."""

import torch
from torchaudio.transforms import MelSpectrogram

from nearfar.data.audio import CHANNELS
from nearfar.errors import NearfarError

FLOOR = 1e-10  # -100 dB below the clip's mean mel power, under the rounding noise of PCM_16


def extractor(mels=128, n_fft=1024, hop=512, rate=16000):
    """Return ``extract(wave, channel) -> (2 * mels,) float32``: mean, then standard deviation, over time.

    The mel power is floored relative to the clip's own mean before the natural logarithm, so a gain g
    adds 2 ln g to every mean and leaves every standard deviation as it is: it shifts all clips alike and
    vanishes when a detector centres them. Mel bands are on the Slaney scale, as in the official DCASE
    baseline: on the HTK scale the lowest of 128 hold one or two bins of n_fft 1024.

    ``extract`` takes float32 (frames, 2) and "near" or "far", and raises NearfarError for another channel
    and for a clip shorter than one window.
    """
    spectrogram = MelSpectrogram(rate, n_fft, hop_length=hop, n_mels=mels, power=2.0, mel_scale="slaney")

    def extract(wave, channel):
        if channel not in CHANNELS:
            raise NearfarError(f"logmel/{channel}: logmel hears one channel; write logmel/near or logmel/far")
        if len(wave) < n_fft:
            raise NearfarError(f"logmel: clip of {len(wave)} frames, shorter than n_fft {n_fft}; remove it")
        with torch.inference_mode():
            power = spectrogram(torch.tensor(wave[:, CHANNELS[channel]]))
            logarithm = power.clamp(min=FLOOR * power.mean()).log()
            return torch.cat([logarithm.mean(1), logarithm.std(1, correction=0)]).numpy()

    return extract
