"""What is unusual in a clip, against normal clips: which bands, when, how much louder or quieter; and in words.

A scan over rectangles of the log-mel map. What is expected of a clip is the mean of the nearer domain, moved along the
ways in which normal clips vary together (principal components: load, distance, the hall's noise). In each of several
sizes, from one band and window to broad bands and the whole clip, the mean departure from it is divided by the spread
that rectangles of that size have in normal clips, each held out; the size and place whose value most exceeds what the
largest rectangle of a normal clip has is what stands out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

WIDTHS = (1, 4, 16)  # of rectangles, in bands
LENGTHS = (1, 4, 16, 0)  # in windows of 32 ms; 0 is the whole clip
USUAL = 99  # percentile of the normal clips' own largest values: what exceeds it stands out
KEPT = 0.4  # of the peak: windows below do not belong to what stands out
KEPT_BANDS = 0.3  # and bands below
VARIED = 8  # principal components of the levels of normal clips
FOLDS = 5  # in which normal clips are held out
LEAST = 0.25  # dB: the least spread of a band, so that a silent one does not rule
THROUGHOUT = 0.7  # share of the clip from which on "throughout" is said


@dataclass(frozen=True, eq=False)
class Normal:
    """What normal clips are like in one signal.

    means: dict from domain to the mean level (bands,) in dB; ways: (ways, bands), orthonormal, in which levels vary
    together; spread: (bands,) in dB of single windows; sizes: dict from
    (width, length) to the spread (bands − width + 1,) of such rectangles, in units of ``spread``; usual: dict from
    (width, length, sign) to what stands out: the USUAL percentile of the normal clips' largest, of all sizes at once.
    """

    means: dict[str, np.ndarray]
    ways: np.ndarray
    spread: np.ndarray
    sizes: dict[tuple[int, int], np.ndarray]
    usual: dict[tuple[int, int, int], float]


@dataclass(frozen=True)
class Finding:
    """What stands out in a clip, or what comes nearest to it.

    bands: first and last + 1; times: the like, of windows, one after another; decibels: louder than expected, on
    average over these; ratio: above 1 it stands out, the value against the largest in normal clips.
    """

    bands: tuple[int, int]
    times: list[tuple[int, int]]
    decibels: float
    ratio: float


def normal_statistics(maps: Sequence[np.ndarray], domains: Sequence[str]) -> Normal:
    """Return the statistics of normal clips, maps (bands, windows) in dB, each of a domain; spreads are within them."""
    domains = np.asarray(domains)
    levels = np.stack([clip.mean(axis=1) for clip in maps]).astype(np.float64)
    means, ways = _expectation(levels, domains)
    expected, fold = np.stack([means[name] for name in domains.tolist()]), _dealt(domains)
    for k in range(FOLDS):
        if (fold == k).any():
            own = _expectation(levels[fold != k], domains[fold != k])
            expected[fold == k] = [
                _expected(*pair, *own) for pair in zip(levels[fold == k], domains[fold == k], strict=True)
            ]
    centred = [clip - level[:, None] for clip, level in zip(maps, expected, strict=True)]
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
    return Normal(means, ways, spread, sizes, {key: max(float(value * whole), 1e-6) for key, value in each.items()})


def _expectation(levels, domains):
    """Return the mean (bands,) of each domain, and the ways (ways, bands) in which its levels (clips, bands) vary."""
    means = {name: levels[domains == name].mean(axis=0) for name in np.unique(domains).tolist()}
    centred = levels - np.stack([means[name] for name in domains.tolist()])
    return means, np.linalg.svd(centred, full_matrices=False)[2][: min(VARIED, len(levels) // 4)]


def _expected(level, domain, means, ways):
    """Return what is expected of a clip by its level (bands,): it may be moved along the ways, not otherwise."""
    return means[domain] + (level - means[domain]) @ ways.T @ ways


def _dealt(domains):
    """Return the fold (clips,) of each clip, dealt in each domain by itself; one that is alone is in none."""
    fold = np.full(len(domains), -1)
    for name in np.unique(domains):
        members = np.flatnonzero(domains == name)
        fold[members] = np.arange(len(members)) % FOLDS if len(members) > 1 else -1
    return fold


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


def apart(clip: np.ndarray, normal: Normal) -> np.ndarray:
    """Return a clip (bands, windows) less what is expected of it in the domain that it fits better, in dB."""
    level = clip.mean(axis=1, dtype=np.float64)
    candidates = [_expected(level, domain, normal.means, normal.ways) for domain in normal.means]
    return clip - min(candidates, key=lambda expected: np.square((level - expected) / normal.spread).sum())[:, None]


def departures(clip: np.ndarray, normal: Normal, length: int = 1) -> np.ndarray:
    """Return the z-map of a clip (bands, windows): the mean over ``length`` windows less the normal mean, by spread.

    The spread is that of single bands over so many windows in normal clips; 0 is the whole clip, (bands, 1). Else there
    are as many windows as in the clip, the ends repeated.
    """
    scaled = apart(clip, normal) / normal.spread[:, None]
    values = _rectangles(_corners(scaled), 1, length) / normal.sizes[1, length][:, None]
    lost = clip.shape[1] - values.shape[1] if length else 0
    return np.pad(values, ((0, 0), (lost // 2, lost - lost // 2)), mode="edge")


def explain(clip: np.ndarray, normal: Normal) -> Finding:
    """Return what stands out most in a clip's map (bands, windows) in dB."""
    decibels = apart(clip, normal)
    corners, best = _corners(decibels / normal.spread[:, None]), (-np.inf,)
    for size, sign in product(normal.sizes, (1, -1)):
        values = sign * _rectangles(corners, *size) / normal.sizes[size][:, None]
        ratio = values.max() / normal.usual[*size, sign]
        if ratio > best[0]:
            best = ratio, size, sign, np.unravel_index(values.argmax(), values.shape)
    ratio, (width, length), sign, (band, window) = best
    length = min(length, clip.shape[1]) or clip.shape[1]
    scaled = sign * decibels / normal.spread[:, None]
    bands = _bands(scaled[:, window : window + length].mean(axis=1), band, band + width)
    times = _times(scaled[slice(*bands)].mean(axis=0), min(length, max(LENGTHS)))
    there = np.concatenate([decibels[slice(*bands), slice(*time)] for time in times], axis=1)
    return Finding(bands, times, float(there.mean()), float(ratio))


def _bands(profile, first, last):
    """Return the run of bands about the highest of ``first`` to ``last`` that keep KEPT_BANDS; two may fail between."""
    top = first + int(profile[first:last].argmax())
    keeps = np.flatnonzero(profile >= KEPT_BANDS * profile[top])
    return next((run[0], run[1]) for run in _runs(keeps, gap=2) if run[0] <= top < run[1])


def _times(profile, length):
    """Return the runs of windows that lie in a stretch of ``length`` windows whose mean keeps KEPT of the highest."""
    sums = np.concatenate([[0.0], profile.cumsum()])
    means = (sums[length:] - sums[:-length]) / length
    starts = np.flatnonzero(means >= means.max() - (1 - KEPT) * abs(means.max()))
    inside = np.zeros(len(profile), bool)
    for start in starts:
        inside[start : start + length] = True
    return _runs(np.flatnonzero(inside), gap=0)


def _runs(numbers, gap):
    """Return the first and last + 1 of each run of increasing numbers that leaves out no more than ``gap``."""
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1 + gap) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]
