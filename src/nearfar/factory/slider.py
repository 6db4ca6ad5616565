"""A linear slide rail: strokes to and fro, with a blow at either end.

The rail rubs in proportion to its speed (half a sine a stroke), the carriage strikes its end stops and
rings them, a drive hums beneath. Dry friction may stick and slip some ten times a second
(Bowden and Tabor, The Friction and Lubrication of Solids). Stroke rates differ, yet stay unnamed.
"""

from dataclasses import dataclass

import numpy as np

from nearfar.factory import faults, signals

CONDITIONS = {"source": ((1, 1), (2, 1), (3, 1)), "target": ((4, 1), (4, 2))}
HIDDEN = True  # the attributes are left out of the file names


@dataclass
class Slider:
    """Constants of one slider."""

    hertz: float  # strokes a second at speed 2
    centre: float  # where the rubbing peaks, Hz
    tilt: float  # of the rubbing, dB an octave
    stop: float  # strength of the blows at the ends, against the rubbing
    drive: float  # hum of the drive at speed 2, Hz
    modes: np.ndarray  # resonances of the frame (count, 3)
    stops: np.ndarray  # modes of the two end stops, one after the other (2, count, 3)
    dry: float  # where a dry rail squeals, Hz


def draw(rng: np.random.Generator) -> Slider:
    """Draw a slider."""
    return Slider(
        hertz=rng.uniform(2.0, 3.2),
        centre=rng.uniform(900, 2500),
        tilt=rng.uniform(-3, -0.5),
        stop=rng.uniform(0.8, 1.8),
        drive=rng.uniform(80, 160),
        modes=signals.draw_modes(rng, 5, 250, 6000),
        stops=np.stack([signals.draw_modes(rng, 4, 300, 4500) for _ in range(2)]),
        dry=rng.uniform(2000, 5000),
    )


def sound(
    slider: Slider, speed: float, load: float, n: int, rng: np.random.Generator, fault: faults.Fault
) -> np.ndarray:
    """Return (n,) of what the slider radiates."""
    ratio = (1 + 0.12 * (speed - 2)) * np.exp(0.015 * rng.standard_normal())
    strokes = signals.shaft(slider.hertz * ratio, n, rng, wander=0.02)
    velocity = np.abs(np.sin(np.pi * strokes))
    rubbing = _rubbing(slider, n, load, rng, fault) * velocity * _stick_slip(velocity, fault)
    drive = signals.shaft(slider.drive * ratio, n, rng)
    hum = sum(signals.decibels(-6 * k + rng.normal(0, 1)) * signals.tone(drive, k, rng) for k in (1, 2, 3, 5))
    out = signals.filtered(rubbing + 0.4 * hum, signals.casing(slider.modes))
    blows = _blows(slider, strokes, rng)
    return out + signals.rms(out) * (blows + _knocks(slider, n, fault))


def _rubbing(slider, n, load, rng, fault):
    """Return (n,) steady rubbing noise; load brightens it, a dry (worn) rail adds a band of its own."""
    slope = signals.slope(slider.tilt + 0.6 * (load - 1) + rng.normal(0, 0.3))
    hump = signals.hump(slider.centre * np.exp(rng.normal(0, 0.03)), 1.0)
    rail = signals.noise(n, lambda f: slope(f) * (0.2 + hump(f)), rng)
    level = -22 + rng.normal(0, 1.5) + 12 * fault.amount("wear")
    return rail + signals.decibels(level) * signals.noise(n, signals.hump(slider.dry, 0.2), rng)


def _stick_slip(velocity, fault):
    """Return (n,) the chatter of a rail that sticks and slips while it moves; 1 on a healthy rail."""
    depth = 0.7 * fault.amount("modulation")
    if not depth:
        return 1.0
    cycles = signals.shaft(fault.rng.uniform(7, 13), len(velocity), fault.rng, wander=0.1)
    return 1 + depth * signals.tone(cycles, 1, fault.rng)


def _blows(slider, strokes, rng):
    """Return (n,) the blows at the two ends, wherever a stroke is completed."""
    ends = np.flatnonzero(np.diff(np.floor(strokes)) > 0)
    out = np.zeros(len(strokes))
    for side in (0, 1):
        times = ends[np.floor(strokes[ends]).astype(int) % 2 == side]
        strengths = slider.stop * rng.normal(1, 0.12, len(times))
        out += signals.ringing(len(out), times, strengths, slider.stops[side], rng, decay=0.02)
    return out


def _knocks(slider, n, fault):
    """Return (n,) knocks of a loose carriage at random times; nothing on a healthy rail."""
    strength = fault.amount("intermittent")
    if not strength:
        return 0.0
    times = faults.random_times(n, 2.5, fault.rng)
    strengths = 6.5 * strength * fault.rng.uniform(0.5, 1.2, len(times))
    return signals.ringing(n, times, strengths, slider.modes[2:], fault.rng, decay=0.015)
