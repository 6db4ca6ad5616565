"""What the classifier is given of a clip: its log-mel less each band's mean, and the spectrum of the whole of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from nearfar.data.clips import read_clips
from nearfar.data.places import frames_of, read_place
from nearfar.data.signals import channels_of, signal
from nearfar.errors import NearfarError, error_prefix
from nearfar.features.mel import mel_bank, mel_power
from nearfar.jobs.files import new_array
from nearfar.jobs.kinds import Count
from nearfar.jobs.progress import bar

FLOOR = 1e-10  # of a clip's mean power, as in nearfar.features.logmel

Pair = tuple[np.ndarray, np.ndarray]  # the log-mel (mels, windows) and the spectrum (bands,) of a clip


def extractor(*, mels: Count, n_fft: Count, hop: Count, bands: Count) -> Callable[[np.ndarray], Pair]:
    """Return ``extract(samples) -> (log-mel (mels, windows), spectrum (bands,))``, float16, of float32 samples.

    The log-mel is in bels, less each band's mean over the clip: what goes on in time. The spectrum is the magnitude of
    the whole clip, averaged in ``bands`` bands of equal width, in bels: what goes on all the time, at 2 Hz for 4,000
    bands. Clips of less than 2 · bands samples are padded for it. ``extract`` raises NearfarError for a clip shorter
    than one window.
    """
    bank = mel_bank(mels, n_fft)

    def extract(samples):
        power = mel_power(samples, bank, hop)
        logarithm = np.log10(np.maximum(power, FLOOR * power.mean()))
        image = logarithm - logarithm.mean(axis=1, keepdims=True)
        image = np.ascontiguousarray(image, np.float16)  # convolutions may depend on the layout
        return image, _spectrum(samples, bands).astype(np.float16)

    return extract


def _spectrum(samples, bands):
    magnitude = np.abs(np.fft.rfft(samples - samples.mean(), max(len(samples), 2 * bands)))
    edges = np.linspace(0, len(magnitude), bands + 1).astype(int)
    means = np.add.reduceat(magnitude, edges[:-1]) / np.diff(edges)
    return 2 * np.log10(np.maximum(means, np.sqrt(FLOOR) * means.mean()))


def windows(frames: int, hop: Count) -> int:
    """Return how many windows the log-mel of a clip of ``frames`` samples has."""
    return 1 + int(frames) // hop


def write_inputs(
    paths: Sequence[str | Path], channel: str, images: str | Path, spectra: str | Path, **params: Count
) -> None:
    """Write the inputs of one signal of a machine's clips as two npy files, float16, rows in the order of ``paths``.

    images: (clips, mels, windows), where a clip shorter than the longest has zeros at its end; spectra: (clips, bands);
    channel: a name of SIGNALS; params: of extractor. One clip is in memory at a time.
    Raises NearfarError for what read_place refuses, for a silent residual and for a clip too short, naming the file.
    """
    longest = max(windows(frames_of(path, channels_of([channel])), params["hop"]) for path in paths)
    shapes = (len(paths), params["mels"], longest), (len(paths), params["bands"])
    with new_array(images, np.float16, shapes[0]) as seen, new_array(spectra, np.float16, shapes[1]) as whole:
        for row, (image, spectrum) in enumerate(inputs_of(bar(paths, "inputs"), channel, **params)):
            seen[row, :, : image.shape[1]], whole[row] = image, spectrum


def inputs_of(paths: Iterable[str | Path], channel: str, **params: Count) -> Iterator[Pair]:
    """Yield the inputs of one signal of each clip, as write_inputs writes them and raising what it raises."""
    extract, needed = extractor(**params), channels_of([channel])
    for path in paths:
        wave = read_place(path, needed)
        with error_prefix(path):
            yield extract(signal(wave, channel))


def read_inputs(clips: str | Path, images: str | Path, spectra: str | Path, hop: Count) -> Iterator[Pair]:
    """Yield the inputs of each training clip of a machine, its own windows alone, memory-mapped.

    Raises NearfarError for a file of inputs that is not of that table.
    """
    frames = read_clips(clips)["frames"]
    arrays = [np.load(path, mmap_mode="r") for path in (images, spectra)]
    for path, array in zip((images, spectra), arrays, strict=True):
        if len(array) != len(frames):
            raise NearfarError(f"{path}: holds {len(array)} clips, not {len(frames)}; delete it and run again")
    for image, spectrum, count in zip(*arrays, frames, strict=True):
        yield image[:, : windows(count, hop)], spectrum
