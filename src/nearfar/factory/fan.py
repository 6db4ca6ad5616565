"""An axial fan: blade-pass tones over broadband flow noise.

Tones at multiples of blades × shaft speed fall off by a fixed step a harmonic (Gutin's rotating
blade forces, NACA TM 1195); uneven blades add shaft harmonics. Flow noise (turbulence at the blades)
grows with the fifth to sixth power of speed (Lighthill; Neise, J. Sound Vib. 1976), so it gains on
the tones, and is cut into puffs by the passing blades. Throttling (load) makes the flow rougher.
"""

from dataclasses import dataclass

import numpy as np

from nearfar.factory import faults, signals

CONDITIONS = {  # (speed, load) as in the file names
    "source": ((1, 1), (2, 1), (2, 2), (3, 2)),
    "target": ((4, 1), (4, 2)),
}
HIDDEN = False  # attributes are in the file names


@dataclass
class Fan:
    """Constants of one fan."""

    blades: int
    hertz: float  # shaft speed at speed 2
    fall: float  # dB from one blade-pass harmonic to the next
    tonal: float  # level of the tones against the flow noise, dB
    tilt: float  # of the flow noise, dB an octave
    centre: float  # where the flow noise peaks, Hz
    modes: np.ndarray  # casing resonances (count, 3)
    rattle: np.ndarray  # modes of what a rubbing blade strikes (count, 3)
    bearing: float  # where a worn bearing hisses, Hz


def draw(rng: np.random.Generator) -> Fan:
    """Draw a fan."""
    return Fan(
        blades=int(rng.integers(5, 12)),
        hertz=rng.uniform(16, 28),
        fall=rng.uniform(3, 7),
        tonal=rng.uniform(-5, 0),
        tilt=rng.uniform(-5, -2),
        centre=rng.uniform(300, 900),
        modes=signals.draw_modes(rng, 6, 200, 6000),
        rattle=signals.draw_modes(rng, 4, 900, 5500),
        bearing=rng.uniform(1800, 4500),
    )


def sound(fan: Fan, speed: float, load: float, n: int, rng: np.random.Generator, fault: faults.Fault) -> np.ndarray:
    """Return (n,) of what the fan radiates."""
    ratio = (1 + 0.12 * (speed - 2)) * np.exp(0.012 * rng.standard_normal())
    cycles = signals.shaft(fan.hertz * ratio, n, rng)
    flow = _flow(fan, cycles, ratio, load, rng, fault)
    tones = _tones(fan, cycles, rng) * signals.decibels(fan.tonal + rng.normal(0, 1.0))
    out = signals.filtered(flow + tones + _worn_bearing(fan, n, rng, fault), signals.casing(fan.modes))
    return out + signals.rms(out) * _rub(fan, n, fault)


def _tones(fan, cycles, rng):
    """Return (n,) blade-pass harmonics and, weaker, shaft harmonics, unit RMS."""
    blades = (signals.decibels(-fan.fall * k + rng.normal(0, 1.0)) for k in range(8))
    turns = (signals.decibels(-12 + rng.normal(0, 1.5)) for _ in range(4))
    out = signals.harmonics(fan.blades * cycles, blades, rng)
    return signals.unit(out + signals.harmonics(cycles, turns, rng))


def _flow(fan, cycles, ratio, load, rng, fault):
    """Return (n,) flow noise, puffed by the blades and swinging slowly with the inflow."""
    n = len(cycles)
    tilt = fan.tilt + 2.0 * np.log2(ratio) + 0.5 * (load - 1) + rng.normal(0, 0.25)
    hump, slope = signals.hump(fan.centre * ratio, 1.2), signals.slope(tilt)
    flow = signals.noise(n, lambda f: slope(f) * (0.4 + hump(f)), rng)
    puffs = 1 + 0.25 * signals.tone(cycles, fan.blades, rng)
    inflow = 1 + (0.05 + 0.03 * load) * signals.slow(n, 5.0, rng)
    return flow * puffs * inflow * _surge(n, fault) * ratio**2.5


def _surge(n, fault):
    """Return (n,) the swing of rotating stall or surge, a few hertz: 1 in a healthy fan."""
    depth = 0.27 * fault.amount("modulation")
    if not depth:
        return 1.0
    cycles = signals.shaft(fault.rng.uniform(2.5, 7.0), n, fault.rng, wander=0.05)
    return 1 + depth * signals.tone(cycles, 1, fault.rng)


def _worn_bearing(fan, n, rng, fault):
    """Return (n,) the steady hiss of the bearing, louder when worn."""
    level = -24 + rng.normal(0, 1.5) + 17 * fault.amount("wear")
    return signals.decibels(level) * signals.noise(n, signals.hump(fan.bearing, 0.25), rng)


def _rub(fan, n, fault):
    """Return (n,) blows of a blade that touches its shroud now and then; nothing in a healthy fan."""
    strength = fault.amount("intermittent")
    if not strength:
        return 0.0
    times = faults.random_times(n, 1.5, fault.rng)
    strengths = 0.62 * strength * fault.rng.uniform(0.5, 1.2, len(times))
    return signals.ringing(n, times, strengths, fan.rattle, fault.rng, decay=0.015)
