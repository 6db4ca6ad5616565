"""What is unusual in a clip, against normal clips: which bands, when, how much louder or quieter; and in words.

A scan over rectangles of the log-mel map. In each of several sizes, from one band and window to broad bands and the
whole clip, the mean departure from the normal mean is divided by the spread that rectangles of that size have in normal
clips; the size and place whose value most exceeds what the largest rectangle of a normal clip has is what stands out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

WIDTHS = (1, 4, 16)  # of rectangles, in bands
LENGTHS = (1, 4, 16, 0)  # in windows of 32 ms; 0 is the whole clip
USUAL = 95  # percentile of the normal clips' own largest values: what exceeds it stands out
KEPT = 0.4  # of the peak: bands and windows below do not belong to what stands out
LEAST = 0.25  # dB: the least spread of a band, so that a silent one does not rule
THROUGHOUT = 0.7  # share of the clip from which on "throughout" is said


@dataclass(frozen=True, eq=False)
class Normal:
    """What normal clips are like in one signal.

    means: dict from domain to the mean level (bands,) in dB; spread: (bands,) in dB of single windows; sizes: dict from
    (width, length) to the spread (bands − width + 1,) of such rectangles, in units of ``spread``; usual: dict from
    (width, length, sign) to what stands out: the USUAL percentile of the normal clips' largest, of all sizes at once.
    """

    means: dict[str, np.ndarray]
    spread: np.ndarray
    sizes: dict[tuple[int, int], np.ndarray]
    usual: dict[tuple[int, int, int], float]


@dataclass(frozen=True)
class Finding:
    """What stands out in a clip, or what comes nearest to it.

    bands: first and last + 1; times: the like, of windows, one after another; decibels: louder than the normal mean of
    the domain, on average over these; ratio: above 1 it stands out, the value against the largest in normal clips.
    """

    bands: tuple[int, int]
    times: list[tuple[int, int]]
    decibels: float
    ratio: float
    domain: str


def normal_statistics(maps: Sequence[np.ndarray], domains: Sequence[str]) -> Normal:
    """Return the statistics of normal clips, maps (bands, windows) in dB, each of a domain; spreads are within them."""
    domains = np.asarray(domains)
    levels = np.stack([clip.mean(axis=1) for clip in maps])
    means = {name: levels[domains == name].mean(axis=0) for name in np.unique(domains).tolist()}
    others = {name: _means_of_others(levels[domains == name]) for name in means}
    centred = [clip - next(others[name])[:, None] for clip, name in zip(maps, domains, strict=True)]
    spread = np.maximum(_spread(centred), LEAST)
    corners = [_corners(clip / spread[:, None]) for clip in centred]
    sizes, largest = {}, {}
    for size in product(WIDTHS, LENGTHS):
        values = [_rectangles(corner, *size) for corner in corners]
        sizes[size] = np.maximum(_spread(values), 1e-6)
        scaled = [value / sizes[size][:, None] for value in values]
        for sign in (1, -1):
            largest[*size, sign] = np.array([(sign * value).max() for value in scaled])
    each = {key: max(np.percentile(values, USUAL), 1e-6) for key, values in largest.items()}
    whole = np.percentile(np.max([largest[key] / each[key] for key in each], axis=0), USUAL)
    return Normal(means, spread, sizes, {key: float(value * whole) for key, value in each.items()})


def _means_of_others(levels):
    """Yield for each of the levels (clips, bands) of a domain the mean of the others: few clips are near their own."""
    others = (len(levels) * levels.mean(axis=0) - levels) / max(len(levels) - 1, 1)
    yield from others if len(levels) > 1 else levels


def _spread(parts):
    """Return the root mean square (rows,) over the columns of all ``parts``, each part counting alike."""
    return np.sqrt(np.mean([np.square(part).mean(axis=1) for part in parts], axis=0))


def _corners(values):
    """Return the sums (rows + 1, columns + 1) of all that lies above and left of each corner."""
    return np.pad(values.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _rectangles(corners, width, length):
    """Return the mean over each rectangle, (bands − width + 1, windows − length + 1)."""
    longest = corners.shape[1] - 1
    length = min(length, longest) or longest
    rows = corners[width:] - corners[:-width]
    return (rows[:, length:] - rows[:, :-length]) / (width * length)


def nearer_domain(clip: np.ndarray, normal: Normal) -> str:
    """Return the domain whose mean level a clip (bands, windows) is nearer to."""
    level = clip.mean(axis=1)
    return min(normal.means, key=lambda name: np.square((level - normal.means[name]) / normal.spread).sum())


def departures(clip: np.ndarray, normal: Normal, length: int = 1) -> np.ndarray:
    """Return the z-map of a clip (bands, windows): the mean over ``length`` windows less the normal mean, by spread.

    The spread is that of single bands over so many windows in normal clips; 0 is the whole clip, (bands, 1). Else there
    are as many windows as in the clip, the ends repeated.
    """
    scaled = (clip - normal.means[nearer_domain(clip, normal)][:, None]) / normal.spread[:, None]
    values = _rectangles(_corners(scaled), 1, length) / normal.sizes[1, length][:, None]
    lost = clip.shape[1] - values.shape[1] if length else 0
    return np.pad(values, ((0, 0), (lost // 2, lost - lost // 2)), mode="edge")


def explain(clip: np.ndarray, normal: Normal) -> Finding:
    """Return what stands out most in a clip's map (bands, windows) in dB."""
    domain = nearer_domain(clip, normal)
    apart = clip - normal.means[domain][:, None]
    corners, best = _corners(apart / normal.spread[:, None]), (-np.inf,)
    for size, sign in product(normal.sizes, (1, -1)):
        values = sign * _rectangles(corners, *size) / normal.sizes[size][:, None]
        ratio = values.max() / normal.usual[*size, sign]
        if ratio > best[0]:
            best = ratio, size, sign, np.unravel_index(values.argmax(), values.shape)
    ratio, (width, length), sign, (band, window) = best
    length = min(length, clip.shape[1]) or clip.shape[1]
    scaled = sign * apart / normal.spread[:, None]
    bands = _bands(scaled[:, window : window + length].mean(axis=1), band, band + width)
    times = _times(scaled[slice(*bands)].mean(axis=0), length)
    there = np.concatenate([apart[slice(*bands), slice(*time)] for time in times], axis=1)
    return Finding(bands, times, float(there.mean()), float(ratio), domain)


def _bands(profile, first, last):
    """Return the run of bands about the highest of ``first`` to ``last`` that keep KEPT of it; one may fail between."""
    top = first + int(profile[first:last].argmax())
    keeps = np.flatnonzero(profile >= KEPT * profile[top])
    return next((run[0], run[1]) for run in _runs(keeps, gap=1) if run[0] <= top < run[1])


def _times(profile, length):
    """Return the runs of windows that lie in a stretch of ``length`` windows whose mean keeps KEPT of the highest."""
    sums = np.concatenate([[0.0], profile.cumsum()])
    means = (sums[length:] - sums[:-length]) / length
    starts = np.flatnonzero(means >= KEPT * means.max())
    inside = np.zeros(len(profile), bool)
    for start in starts:
        inside[start : start + length] = True
    return _runs(np.flatnonzero(inside), gap=0)


def _runs(numbers, gap):
    """Return the first and last + 1 of each run of increasing numbers that leaves out no more than ``gap``."""
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1 + gap) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]
