"""A card for each clip that the report shows: pictures, sounds, what is unusual, and which detectors say so."""

from typing import Any

import numpy as np

from nearfar.data.audio import CHANNELS, RATE
from nearfar.data.places import read_place
from nearfar.data.signals import SIGNALS, overlapped
from nearfar.report.drivers import drops
from nearfar.report.explain import departures, explain, told
from nearfar.report.media import DEPARTURE, LOUDEST, LOUDNESS, Budget, picture
from nearfar.report.normals import Normals
from nearfar.report.spectra import spectra_of
from nearfar.report.views import LEVELS, VIEWS, maps_of
from nearfar.report.words import driven, sentence

BELOW = 10.0  # dB that a spectrogram shows below the quietest of normal clips: far signals and residuals are quieter
NEAREST = 3  # normal clips to compare with
UNUSUAL = 6.0  # spreads that the map of what is unusual shows to either side
SMOOTHED = 4  # columns that a cell of this map is the mean of, where it has so many


def card(
    place: str, channels: int, normals: Normals, ranks: dict[str, float], system: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what is shown of the clip at ``place`` but its sounds, and its signals, a dict from name to (samples,).

    ranks: dict from detector to the clip's rank among the normal ones; system: as nearfar.report.drivers takes it.
    """
    wave = read_place(place, channels)
    spectra = spectra_of(wave)
    maps = maps_of(wave, spectra)
    found = {name: explain(maps[name], normal) for name, normal in normals.statistics.items()}
    views = told(found)
    level = max([name for name in LEVELS if name in found], key=lambda name: found[name].ratio)
    fallen = drops(ranks, system)
    shown = {
        "place": str(place),
        "seconds": round(len(wave) / RATE, 3),
        "said": [*(sentence(found[name], VIEWS[name], len(wave)) for name in views), driven(fallen)],
        "pictures": {name: spectrogram(maps[name], normals) for name in SIGNALS if name in maps},
        "unusual": [
            _unusual(name, maps[name], normals.statistics[name], found[name], len(wave))
            for name in dict.fromkeys((*views, level))
        ],
        "bands": departures(maps[level], normals.statistics[level], found[level].domain, 0)[:, 0].round(2).tolist(),
        "detectors": _detectors(ranks, fallen),
        "nearest": [int(row) for row in normals.nearest(maps["near"], NEAREST)],
    }
    signals = dict(zip(CHANNELS, wave.T, strict=False))
    if "residual" in spectra:
        signals["residual"] = overlapped(spectra["residual"], len(wave)).astype(np.float32)
    return shown, signals


def spectrogram(level: np.ndarray, normals: Normals) -> str:
    """Return a map (bands, windows) in dB as a picture, on the one scale of the machine."""
    low, high = normals.range
    return picture(level, low - BELOW, max(high, low + 1), LOUDNESS)


def _unusual(name, clip, normal, finding, samples):
    """Return what is shown of a view: a picture of the departures, what stands out in it, and where it begins, ends."""
    view = VIEWS[name]
    smoothed = SMOOTHED if SMOOTHED in view.lengths else 0
    return {
        "view": name,
        "picture": picture(departures(clip, normal, finding.domain, smoothed), -UNUSUAL, UNUSUAL, DEPARTURE),
        "boxes": _boxes(finding, clip.shape) if finding.ratio > 1 else [],
        "ends": {
            "time": ["0 s", f"{samples / RATE:.1f} s"],
            "swings": [f"{pace:.1f} a second" for pace in view.span(0, clip.shape[1], samples)],
            "one": ["the whole clip", ""],
        }[view.columns],
    }


def _boxes(finding, shape):
    """Return left, top, width and height in percent of the picture for each stretch of columns."""
    (low, high), (bands, columns) = finding.bands, shape
    boxes = [
        [start / columns, 1 - high / bands, (end - start) / columns, (high - low) / bands]
        for start, end in finding.columns
    ]
    return [[round(100 * value, 2) for value in box] for box in boxes]


def _detectors(ranks, fallen):
    """Return name, rank and drop of each detector, the one that drives the score most first."""
    order = sorted(ranks, key=lambda name: -fallen.get(name, 0.0))
    return [{"name": name, "rank": round(ranks[name], 4), "drop": round(fallen.get(name, 0.0), 4)} for name in order]


def add_sounds(
    cards: list[dict], signals: list[dict[str, np.ndarray]], normals: Normals, channels: int, megabytes: float
) -> dict[str, Any]:
    """Add sounds to the cards, as many as fit; return the compared normal clips by row, and how many were left out.

    signals: those of each card, as ``card`` returns them; channels: of the normal clips. What matters most comes first:
    the near signals in the order of the cards, the normal clip most like each, the residuals, the far signals, the
    other normal clips. All have one gain, so that they compare by ear.
    """
    budget = Budget(megabytes)
    gain = LOUDEST / max([np.abs(own[name]).max() for own in signals for name in CHANNELS if name in own], default=1.0)
    rows = {row: None for number in range(NEAREST) for one in cards for row in one["nearest"][number : number + 1]}
    firsts = [row for row in rows if any(one["nearest"][0] == row for one in cards)]
    sounds = {}

    def hear(rows):
        for row in rows:
            sounds[row] = budget.take(read_place(normals.place[row], channels)[:, 0], gain)

    for one, own in zip(cards, signals, strict=True):
        one["sounds"] = {"near": budget.take(own["near"], gain)}
    hear(firsts)
    for name in ("residual", "far"):
        for one, own in zip(cards, signals, strict=True):
            if name in own:
                one["sounds"][name] = budget.take(own[name], gain)
    hear(row for row in rows if row not in sounds)
    compared = {
        row: {
            "file": str(normals.file[row]),
            "picture": spectrogram(normals.near[row], normals),
            "sound": sounds[row],
        }
        for row in sorted(rows)
    }
    return {"normals": compared, "silent": budget.refused}
