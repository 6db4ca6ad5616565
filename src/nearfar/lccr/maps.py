"""The maps of both channels that LCCR sees: numpy alone, a file a machine."""

import numpy as np

from nearfar.data.audio import FAR, NEAR, probe, read_clip
from nearfar.errors import error_prefix
from nearfar.features.rtf import band_sums, mel_edges, stft
from nearfar.jobs.files import replacing
from nearfar.jobs.progress import bar

MAPS = 5
FLOOR = 1e-10  # of a channel's mean band power


def maps(wave, *, mels=64, n_fft=1024, hop=512):
    """Return the maps of a wave (frames, 2): float16 (5, mels, windows).

    ILD, log10 of the near by the far power (bels); cosine and sine of the IPD, the angle of the
    cross-spectrum near · conj(far) summed over each mel band, of unit length whatever the coherence;
    log10 power (bels) of near and of far, each less its mean over the clip. A gain on both channels
    changes nothing; one on a single channel shifts the ILD only. Raises NearfarError as stft does.
    """
    edges = mel_edges(mels, n_fft)
    spectra = stft(wave, n_fft, hop)
    near, far = (_log_power(spectra[channel], edges) for channel in (NEAR, FAR))
    cross = band_sums(spectra[NEAR] * spectra[FAR].conj(), edges)
    unit = np.exp(1j * np.angle(cross))
    stacked = np.stack([near - far, unit.real, unit.imag, near - near.mean(), far - far.mean()])
    return stacked.swapaxes(1, 2).astype(np.float16)


def _log_power(spectrum, edges):
    power = band_sums(np.abs(spectrum) ** 2, edges)
    return np.log10(np.maximum(power, FLOOR * power.mean()))


def write_maps(paths, out, **params):
    """Write the maps of one machine's clips as ``out``, npy float16 (clips, 5, mels, windows).

    Rows follow ``paths``, which the caller takes from its clips table in that table's order. One clip is in
    memory at a time. Clips shorter than the machine's longest start anew at their end, so that all rows have one
    length; ``windows`` says how many are a clip's own. Raises NearfarError for what read_clip
    refuses, naming the file.
    """
    longest = paths[int(np.argmax([probe(path) for path in paths]))]
    shape = _maps_of(longest, params).shape
    with replacing(out) as temporary, open(temporary, "wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(paths), *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for path in bar(paths, "maps"):
            file.write(wrapped(_maps_of(path, params), 0, shape[2]).astype("<f2").tobytes())


def _maps_of(path, params):
    wave = read_clip(path)
    with error_prefix(path):
        return maps(wave, **params)


def wrapped(array, start, length):
    """Return ``length`` windows from ``start`` on, beginning anew where the clip ends."""
    return array[:, :, np.arange(start, start + length) % array.shape[2]]


def windows(frames, *, n_fft=1024, hop=512, **_):
    """Return how many windows the maps of a clip of ``frames`` samples have."""
    return 1 + (frames - n_fft) // hop
