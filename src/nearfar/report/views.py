"""The maps of a clip in which something may stand out: levels, short moments, swings of the level, the path to far."""

from dataclasses import dataclass

import numpy as np

from nearfar.data.audio import RATE
from nearfar.data.signals import HOP
from nearfar.features.rtf import band_means, mel_edges
from nearfar.report.spectra import EDGES, HERTZ, LEAST, levels, log_mels, spectra_of

SHORT, STRIDE, COARSE = 256, 128, 16  # samples of a window and to the next, and bands: a click lasts some 10 ms
SHORT_EDGES, SHORT_HANN = mel_edges(COARSE, SHORT), np.hanning(SHORT + 1)[:-1]
GROUP = 4  # of these bands, whose levels swing together
SEGMENT = 256  # of these windows, 2 s, whose swings are taken apart
FASTEST = 64  # of a segment's frequencies: 31 swings a second
FLOOR = 1e-3  # of the mean over the bins, of the near power that the far one is divided by


@dataclass(frozen=True, eq=False)
class View:
    """A kind of map (bands, columns) in dB.

    signal: in which it is heard; hertz: (bands + 1,) what bounds the bands; columns: what they are, "time", "swings" or
    "one"; step: from a column to the next, in seconds or swings a second.
    widths, lengths: in bands and columns, of the rectangles that are looked at, 0 being all columns; varied: ways in
    which the levels of normal clips are known to vary; kept: share of the peak below which a column does not belong.
    """

    signal: str
    hertz: np.ndarray
    columns: str
    step: float
    widths: tuple[int, ...]
    lengths: tuple[int, ...]
    varied: int
    kept: float

    def span(self, first: int, last: int, samples: int) -> tuple[float, float]:
        """Return from where to where the columns ``first`` up to ``last`` lie, of a clip of so many samples."""
        if self.columns == "swings":
            return (first + 1) * self.step, last * self.step
        half = self.step / 2
        return max(first * self.step - half, 0.0), min((last - 1) * self.step + half, samples / RATE)


_LEVEL = {"hertz": HERTZ, "columns": "time", "step": HOP / RATE, "lengths": (1, 4, 16, 0), "kept": 0.4}
_SHORT_HERTZ = np.minimum(SHORT_EDGES * RATE / SHORT, RATE / 2)
VIEWS = {
    "near": View("near", **_LEVEL, widths=(1, 4, 16), varied=8),
    "residual": View("residual", **_LEVEL, widths=(1, 4, 16), varied=8),
    "moments": View("near", _SHORT_HERTZ, "time", STRIDE / RATE, widths=(1, 4, 16), lengths=(1, 4), varied=8, kept=0.6),
    "swings": View(
        "near", _SHORT_HERTZ[::GROUP], "swings", RATE / STRIDE / SEGMENT, (1, 4), (1, 4, 0), varied=0, kept=0.4
    ),
    "path": View("far", HERTZ, "one", 0.0, widths=(1, 4, 16), lengths=(0,), varied=8, kept=0.4),
}
LEVELS = ("near", "residual")  # the views that are spectrograms


def maps_of(wave: np.ndarray, found: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """Return the maps of a wave (samples, 1 or 2): of VIEWS and "far", all (bands, columns) in dB.

    found: what ``spectra_of`` makes of the wave, where that is there.
    """
    found = found or spectra_of(wave)
    short = _short_levels(wave[:, 0])
    maps = log_mels(found) | {"moments": short, "swings": swings(short)}
    return maps | {"path": _path(found["near"], found["far"])} if "far" in found else maps


def _short_levels(near):
    padded = np.pad(near.astype(np.float64), SHORT // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, SHORT)[::STRIDE]
    return levels(np.fft.rfft(windows * SHORT_HANN), SHORT_EDGES, SHORT_HANN)


def swings(short: np.ndarray) -> np.ndarray:
    """Return how much the level swings, by how often a second: (bands, FASTEST) in dB, of short levels in dB.

    The power of each band, by its mean, is averaged over a group of bands: what swings in all of them adds up, noise
    does not. Its level is cut into segments that overlap by three quarters; the mean of their power spectra is taken.
    """
    power = 10 ** (short.astype(np.float64) / 10)
    power /= power.mean(axis=1, keepdims=True)
    level = 10 * np.log10(power.reshape(-1, GROUP, power.shape[1]).mean(axis=1) + 1e-3)
    length = min(SEGMENT, level.shape[1])
    parts = np.lib.stride_tricks.sliding_window_view(level, length, axis=1)[:, :: SEGMENT // 4]
    taper = np.hanning(length + 2)[1:-1]
    spectrum = np.fft.rfft((parts - parts.mean(axis=-1, keepdims=True)) * taper, SEGMENT)[..., 1 : FASTEST + 1]
    return (10 * np.log10(np.square(np.abs(spectrum)).mean(axis=1) / np.square(taper).sum() + 1e-6)).astype(np.float32)


def _path(near, far):
    """Return how loud far hears what near hears, (bands, 1) in dB, of their spectra (windows, bins)."""
    power = np.mean(near.real**2 + near.imag**2, axis=0)
    transfer = np.mean(far * near.conj(), axis=0) / np.maximum(power, FLOOR * power.mean() + LEAST)
    return (10 * np.log10(band_means(np.square(np.abs(transfer)), EDGES) + LEAST))[:, None].astype(np.float32)
