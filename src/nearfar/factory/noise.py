"""Factory noise: ventilation of a changing colour, mains hum of other machines, blows now and then."""

from dataclasses import dataclass

import numpy as np

from nearfar.factory import signals

KNOTS = np.linspace(np.log2(60), np.log2(8000), 9)  # octaves at which the colour is set
WANDER = 1.5  # sd of the colour from clip to clip, dB at each knot


@dataclass
class Noise:
    """What stays the same in one part of a factory."""

    colour: np.ndarray  # gain in dB at KNOTS (9,)
    hum: float  # Hz
    partials: np.ndarray  # amplitudes of the hum's harmonics (count,)
    hum_level: float  # against the coloured noise, dB
    blows: float  # a second
    blow_level: float  # peak against the RMS of the coloured noise, dB
    modes: np.ndarray  # what the blows ring (count, 3)


def draw(rng: np.random.Generator) -> Noise:
    """Draw the noise of one corner of a factory."""
    tilt = rng.uniform(-5, -2)
    return Noise(
        colour=tilt * (KNOTS - np.log2(1000)) + rng.normal(0, 3, len(KNOTS)),
        hum=rng.choice([50.0, 60.0, 100.0]) * rng.uniform(0.97, 1.0),
        partials=rng.uniform(0.3, 1.0, 6) / np.arange(1, 7),
        hum_level=rng.uniform(-14, -6),
        blows=rng.uniform(0.1, 0.5),
        blow_level=rng.uniform(3, 9),
        modes=signals.draw_modes(rng, 4, 300, 5000),
    )


def sound(noise: Noise, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n,) of factory noise at unit RMS."""
    colour = noise.colour + WANDER * rng.standard_normal(len(KNOTS))

    def gain(f):
        octave = np.log2(np.maximum(f, 30))
        return (f > 30) * signals.decibels(np.interp(octave, KNOTS, colour))

    out = signals.noise(n, gain, rng) * (1 + 0.1 * signals.slow(n, 2.0, rng))
    cycles = signals.shaft(noise.hum, n, rng)
    hum = signals.unit(signals.harmonics(cycles, noise.partials, rng))
    out += signals.decibels(noise.hum_level + rng.normal(0, 2)) * hum
    times = np.sort(rng.integers(0, n, rng.poisson(noise.blows * n / signals.RATE)))
    strengths = signals.decibels(noise.blow_level + rng.uniform(-6, 3, len(times)))
    return signals.unit(out + signals.ringing(n, times, strengths, noise.modes, rng, decay=0.03))
