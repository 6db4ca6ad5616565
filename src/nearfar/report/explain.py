"""What is unusual in a clip, against normal clips: which bands, when, how much louder or quieter; and in words.

A scan over rectangles of each map of nearfar.report.views. What is expected of a clip is the mean of the nearer domain,
moved along the ways in which normal clips vary together (principal components: load, distance, the hall's noise). In
each of several sizes, from one band and column to broad bands and the whole map, the mean departure from it is divided
by the spread that rectangles of that size have in normal clips, each held out; the map, size and place whose value most
exceeds the largest that a normal clip has is what stands out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from nearfar.report.views import VIEWS, View

USUAL = 99  # percentile of the normal clips' largest values of one size, by which sizes are compared
MARGIN = 1.1  # of the largest value of a normal clip: what exceeds it stands out
KEPT_BANDS = 0.3  # of the peak: bands below do not belong to what stands out
FOLDS = 5  # in which normal clips are held out
LEAST = 0.25  # dB: the least spread of a band, so that a silent one does not rule


@dataclass(frozen=True, eq=False)
class Normal:
    """What normal clips are like in one view.

    means: dict from domain to the mean level in dB, (bands, 1) or, of what is no spectrogram, (bands, columns); ways:
    (ways, cells of it), orthonormal, in which levels vary together; spread: (bands,) in dB of single columns; sizes:
    dict from (width, length) to the spread (bands − width + 1,) of such rectangles, in units of ``spread``; usual: dict
    from (width, length, sign) to what stands out; largest: (clips,) of each normal clip the largest, by ``usual``.
    """

    means: dict[str, np.ndarray]
    ways: np.ndarray
    spread: np.ndarray
    sizes: dict[tuple[int, int], np.ndarray]
    usual: dict[tuple[int, int, int], float]
    largest: np.ndarray
    view: View


@dataclass(frozen=True)
class Finding:
    """What stands out in a clip, or what comes nearest to it.

    bands: first and last + 1; columns: the like, one stretch after another; decibels: more than expected, on average
    over these; ratio: above 1 it stands out, the value against MARGIN times the largest in normal clips; domain: whose
    normal clips it was compared with.
    """

    bands: tuple[int, int]
    columns: list[tuple[int, int]]
    decibels: float
    ratio: float
    domain: str


def normal_statistics(maps: Sequence[np.ndarray], domains: Sequence[str], view: View) -> Normal:
    """Return the statistics of normal clips, maps (bands, columns) in dB, each of a domain; spreads are within them."""
    domains = np.asarray(domains)
    levels = np.stack([_level(clip, view) for clip in maps])
    means, ways = _expectation(levels, domains, view.varied)
    expected, fold = np.stack([means[name] for name in domains.tolist()]), _dealt(domains)
    for k in range(FOLDS):
        if (fold == k).any():
            own = _expectation(levels[fold != k], domains[fold != k], view.varied)
            expected[fold == k] = [
                _expected(*pair, *own) for pair in zip(levels[fold == k], domains[fold == k], strict=True)
            ]
    centred = [clip - level for clip, level in zip(maps, expected, strict=True)]
    spread = np.maximum(_spread(centred), LEAST)
    corners = [_corners(clip / spread[:, None]) for clip in centred]
    sizes, largest = {}, {}
    for size in product(view.widths, view.lengths):
        values = [_rectangles(corner, *size) for corner in corners]
        sizes[size] = np.maximum(_spread(values), 1e-6)
        scaled = [value / sizes[size][:, None] for value in values]
        largest[*size, 1] = np.array([value.max() for value in scaled])
        largest[*size, -1] = np.array([-value.min() for value in scaled])
    each = {key: max(np.percentile(values, USUAL), 1e-6) for key, values in largest.items()}
    ratios = np.max([largest[key] / value for key, value in each.items()], axis=0)
    return _against_largest(Normal(means, ways, spread, sizes, each, ratios, view), ratios.max())


def _against_largest(normal, largest):
    """Return the statistics by which what exceeds MARGIN times ``largest``, by what is usual so far, stands out."""
    largest = max(MARGIN * float(largest), 1e-6)
    usual = {key: float(value) * largest for key, value in normal.usual.items()}
    return replace(normal, usual=usual, largest=normal.largest / largest)


def jointly(normals: dict[str, Normal]) -> dict[str, Normal]:
    """Return statistics by which what exceeds the largest value of a normal clip in any of the views stands out."""
    largest = np.max([normal.largest for normal in normals.values()])
    return {name: _against_largest(normal, largest) for name, normal in normals.items()}


def _level(clip, view):
    """Return what a clip (bands, columns) is expected by: the mean over time (bands, 1), or all of another map."""
    return clip.mean(axis=1, keepdims=True, dtype=np.float64) if view.columns == "time" else clip.astype(np.float64)


def _expectation(levels, domains, varied):
    """Return the mean level of each domain, and the ways (ways, cells) in which levels (clips, …) vary."""
    means = {name: levels[domains == name].mean(axis=0) for name in np.unique(domains).tolist()}
    centred = (levels - np.stack([means[name] for name in domains.tolist()])).reshape(len(levels), -1)
    return means, np.linalg.svd(centred, full_matrices=False)[2][: min(varied, len(levels) // 4)]


def _expected(level, domain, means, ways):
    """Return what is expected of a clip by its level: it may be moved along the ways, not otherwise."""
    moved = (level - means[domain]).ravel() @ ways.T @ ways
    return means[domain] + moved.reshape(level.shape)


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


def apart(clip: np.ndarray, normal: Normal, domain: str) -> np.ndarray:
    """Return a clip (bands, columns) less what is expected of it in a domain, in dB."""
    return clip - _expected(_level(clip, normal.view), domain, normal.means, normal.ways)


def departures(clip: np.ndarray, normal: Normal, domain: str, length: int) -> np.ndarray:
    """Return the z-map of a clip (bands, columns): the mean over ``length`` columns less the normal mean, by spread.

    The spread is that of single bands over so many columns in normal clips; 0 is the whole clip, (bands, 1). Else there
    are as many columns as in the clip, the ends repeated.
    """
    scaled = apart(clip, normal, domain) / normal.spread[:, None]
    values = _rectangles(_corners(scaled), 1, length) / normal.sizes[1, length][:, None]
    lost = clip.shape[1] - values.shape[1] if length else 0
    return np.pad(values, ((0, 0), (lost // 2, lost - lost // 2)), mode="edge")


def told(found: dict[str, Finding]) -> list[str]:
    """Return the views that are told of: the one in which most stands out, and, if it names no time, one that does."""

    def most(names):
        return max(names, key=lambda name: found[name].ratio)

    first = most(found)
    timed = most(name for name in found if VIEWS[name].columns == "time")
    return [first, timed] if VIEWS[first].columns != "time" and found[timed].ratio > 1 else [first]


def explain(clip: np.ndarray, normal: Normal) -> Finding:
    """Return what stands out most in a clip's map (bands, columns) in dB, in the domain that it fits better."""
    level = _level(clip, normal.view)
    left = {name: level - _expected(level, name, normal.means, normal.ways) for name in normal.means}
    domain = min(left, key=lambda name: np.square(left[name] / normal.spread[:, None]).sum())
    decibels = apart(clip, normal, domain)
    corners, best = _corners(decibels / normal.spread[:, None]), (-np.inf,)
    for size, sign in product(normal.sizes, (1, -1)):
        values = sign * _rectangles(corners, *size) / normal.sizes[size][:, None]
        ratio = values.max() / normal.usual[*size, sign]
        if ratio > best[0]:
            best = ratio, size, sign, np.unravel_index(values.argmax(), values.shape)
    ratio, (width, length), sign, (band, column) = best
    length = min(length, clip.shape[1]) or clip.shape[1]
    scaled = sign * decibels / normal.spread[:, None]
    bands = _bands(scaled[:, column : column + length].mean(axis=1), band, band + width)
    longest = max(normal.view.lengths) or length
    columns = _columns(scaled[slice(*bands)].mean(axis=0), min(length, longest), normal.view.kept)
    there = np.concatenate([decibels[slice(*bands), slice(*part)] for part in columns], axis=1)
    return Finding(bands, columns, float(there.mean()), float(ratio), domain)


def _bands(profile, first, last):
    """Return the run of bands about the highest of ``first`` to ``last`` that keep KEPT_BANDS; two may fail between."""
    top = first + int(profile[first:last].argmax())
    keeps = np.flatnonzero(profile >= KEPT_BANDS * profile[top])
    return next((run[0], run[1]) for run in _runs(keeps, gap=2) if run[0] <= top < run[1])


def _columns(profile, length, kept):
    """Return the runs of columns that lie in a stretch of ``length`` whose mean keeps ``kept`` of the highest."""
    sums = np.concatenate([[0.0], profile.cumsum()])
    means = (sums[length:] - sums[:-length]) / length
    starts = np.flatnonzero(means >= means.max() - (1 - kept) * abs(means.max()))
    inside = np.zeros(len(profile), bool)
    for start in starts:
        inside[start : start + length] = True
    return _runs(np.flatnonzero(inside), gap=0)


def _runs(numbers, gap):
    """Return the first and last + 1 of each run of increasing numbers that leaves out no more than ``gap``."""
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1 + gap) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]
