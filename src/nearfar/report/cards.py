"""A card for each clip that the report shows: pictures, sounds, what is unusual, and which detectors say so."""

from typing import Any

import numpy as np

from nearfar.data.audio import RATE
from nearfar.data.places import read_place
from nearfar.data.signals import SIGNALS, residual
from nearfar.report.drivers import drops
from nearfar.report.explain import Finding, departures, explain
from nearfar.report.media import DEPARTURE, LOUDEST, LOUDNESS, Budget, picture, sound
from nearfar.report.normals import Normals
from nearfar.report.spectra import BANDS, frames_as_seconds, log_mels
from nearfar.report.words import driven, sentence

BELOW = 10.0  # dB that a spectrogram shows below the quietest of normal clips: far signals and residuals are quieter
UNUSUAL = 6.0  # spreads that the map of what is unusual shows to either side
SMOOTHED = 4  # windows that a cell of this map is the mean of


def card(place: str, channels: int, normals: Normals, ranks: dict[str, float], system: dict[str, Any]) -> dict:
    """Return what is shown of the clip at ``place`` but its sounds.

    ranks: dict from detector to the clip's rank among the normal ones; system: as nearfar.report.drivers takes it.
    """
    wave = read_place(place, channels)
    maps = log_mels(wave)
    found = {signal: explain(maps[signal], normal) for signal, normal in normals.statistics.items()}
    signal = max(found, key=lambda name: found[name].ratio)
    fallen = drops(ranks, system)
    unusual = departures(maps[signal], normals.statistics[signal], SMOOTHED)
    return {
        "place": str(place),
        "seconds": round(len(wave) / RATE, 3),
        "said": [sentence(found[signal], signal, len(wave)), driven(fallen)],
        "pictures": {name: spectrogram(maps[name], normals) for name in SIGNALS if name in maps},
        "unusual": {
            "signal": signal,
            "picture": picture(unusual, -UNUSUAL, UNUSUAL, DEPARTURE),
            "boxes": _boxes(found[signal], len(wave)) if found[signal].ratio > 1 else [],
        },
        "bands": departures(maps[signal], normals.statistics[signal], 0)[:, 0].round(2).tolist(),
        "detectors": _detectors(ranks, fallen),
        "nearest": [int(row) for row in normals.nearest(maps["near"])],
    }


def spectrogram(level: np.ndarray, normals: Normals) -> str:
    """Return a map (bands, windows) in dB as a picture, on the one scale of the machine."""
    low, high = normals.range
    return picture(level, low - BELOW, max(high, low + 1), LOUDNESS)


def _boxes(finding: Finding, samples):
    """Return left, top, width and height in percent of the picture for each stretch of time."""
    low, high = finding.bands
    whole, boxes = samples / RATE, []
    for time in finding.times:
        start, end = frames_as_seconds(*time, samples)
        boxes.append([start / whole, 1 - high / BANDS, (end - start) / whole, (high - low) / BANDS])
    return [[round(100 * value, 2) for value in box] for box in boxes]


def _detectors(ranks, fallen):
    """Return name, rank and drop of each detector, the one that drives the score most first."""
    order = sorted(ranks, key=lambda name: -fallen.get(name, 0.0))
    return [{"name": name, "rank": round(ranks[name], 4), "drop": round(fallen.get(name, 0.0), 4)} for name in order]


def add_sounds(cards: list[dict], normals: Normals, channels: int, megabytes: float) -> dict[str, Any]:
    """Add sounds to the cards, as many as fit; return the compared normal clips by row, and what was left out.

    What matters most comes first: the near signals in the order of the cards, the normal clips, the residuals. All have
    one gain, so that they compare by ear. Far signals are seen, not heard: they would cost as much as the residuals.
    """
    budget = Budget(megabytes)
    waves = [read_place(card["place"], channels) for card in cards]
    gain = LOUDEST / max([np.abs(wave).max() for wave in waves], default=1.0)
    for one, wave in zip(cards, waves, strict=True):
        one["sounds"] = {"near": budget.take(sound(wave[:, 0], gain))}
    rows = sorted({row for one in cards for row in one["nearest"]})
    compared = {}
    for row in rows:
        wave = read_place(normals.place[row], channels)
        shown = spectrogram(normals.near[row], normals)
        compared[row] = {
            "file": str(normals.file[row]),
            "picture": shown,
            "sound": budget.take(sound(wave[:, 0], gain)),
        }
    for one, wave in zip(cards, waves, strict=True) if channels > 1 and not budget.refused else ():
        one["sounds"]["residual"] = budget.take(sound(residual(wave), gain))
    return {"normals": compared, "silent": budget.refused}
