"""The maps of both channels that LCCR sees: numpy alone, a file a machine."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from nearfar.data.audio import FAR, NEAR
from nearfar.data.places import frames_of, read_place
from nearfar.errors import error_prefix
from nearfar.features.rtf import band_sums, mel_edges, stft
from nearfar.jobs.files import new_array
from nearfar.jobs.kinds import Count
from nearfar.jobs.progress import bar

MAPS = 5
FLOOR = 1e-10  # of a channel's mean band power


def clip_maps(wave: np.ndarray, *, mels: Count, n_fft: Count, hop: Count) -> np.ndarray:
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
    return np.ascontiguousarray(stacked.swapaxes(1, 2), np.float16)  # convolutions may depend on the layout


def _log_power(spectrum, edges):
    power = band_sums(np.abs(spectrum) ** 2, edges)
    return np.log10(np.maximum(power, FLOOR * power.mean()))


def write_maps(paths: Sequence[str | Path], out: str | Path, *, mels: Count, n_fft: Count, hop: Count) -> None:
    """Write the maps of one machine's clips as ``out``, npy float16 (clips, 5, mels, windows).

    Rows follow ``paths``, which the caller takes from its clips table in that table's order. One clip is in
    memory at a time. Clips shorter than the machine's longest start anew at their end, so that all rows have one
    length; ``windows`` says how many are a clip's own. Raises NearfarError for what read_place
    refuses, naming the file.
    """
    longest = max(windows(frames_of(path), n_fft=n_fft, hop=hop) for path in paths)
    maps = read_maps(bar(paths, "maps"), mels=mels, n_fft=n_fft, hop=hop)
    with new_array(out, np.float16, (len(paths), MAPS, mels, longest)) as array:
        for row, own in zip(array, maps, strict=True):
            row[:] = wrapped(own, 0, longest)


def read_maps(paths: Iterable[str | Path], **params: Count) -> Iterator[np.ndarray]:
    """Yield the maps of each clip; params: of clip_maps. Raises NearfarError as read_place and it do."""
    for path in paths:
        wave = read_place(path)
        with error_prefix(path):
            yield clip_maps(wave, **params)


def wrapped(array: np.ndarray, start: int, length: int) -> np.ndarray:
    """Return ``length`` windows from ``start`` on, beginning anew where the clip ends."""
    return array[:, :, np.arange(start, start + length) % array.shape[2]]


def windows(frames: int, *, n_fft: Count, hop: Count) -> int:
    """Return how many windows the maps of a clip of ``frames`` samples have."""
    return max(0, 1 + (frames - n_fft) // hop)
