"""A one-stage gearbox: mesh harmonics with sidebands of both shafts.

Each harmonic of teeth × shaft speed is modulated in amplitude and phase once a turn of either wheel
(McFadden, J. Vib. Acoust. 1986), which puts sidebands around it; the casing colours the whole, and
bearings and oil add broadband noise. Load raises the mesh harmonics and bends the teeth.
"""

from dataclasses import dataclass

import numpy as np

from nearfar.factory import faults, signals

CONDITIONS = {"source": ((1, 1), (1, 2), (2, 1), (2, 2), (3, 1)), "target": ((4, 2), (3, 3))}
HIDDEN = False


@dataclass
class Gearbox:
    """Constants of one gearbox."""

    teeth: tuple[int, int]  # of the driving and of the driven wheel
    hertz: float  # driving shaft at speed 2
    fall: float  # dB from one mesh harmonic to the next
    depth: tuple[float, float]  # amplitude modulation by the two shafts, 0…1
    tonal: float  # level of the mesh against the broadband noise, dB
    tilt: float  # of the broadband noise, dB an octave
    modes: np.ndarray  # casing resonances (count, 3)
    chip: np.ndarray  # modes a blow on a tooth rings (count, 3)


def draw(rng: np.random.Generator) -> Gearbox:
    """Draw a gearbox."""
    return Gearbox(
        teeth=(int(rng.integers(17, 29)), int(rng.integers(41, 83))),
        hertz=rng.uniform(12, 20),
        fall=rng.uniform(2, 5),
        depth=(rng.uniform(0.1, 0.25), rng.uniform(0.05, 0.2)),
        tonal=rng.uniform(-2, 4),
        tilt=rng.uniform(-4, -1),
        modes=signals.draw_modes(rng, 7, 300, 6500),
        chip=signals.draw_modes(rng, 5, 1200, 6500),
    )


def sound(
    gearbox: Gearbox, speed: float, load: float, n: int, rng: np.random.Generator, fault: faults.Fault
) -> np.ndarray:
    """Return (n,) of what the gearbox radiates."""
    ratio = (1 + 0.1 * (speed - 2)) * np.exp(0.012 * rng.standard_normal())
    cycles = signals.shaft(gearbox.hertz * ratio, n, rng)
    level = gearbox.tonal + 1.5 * (load - 1) + rng.normal(0, 1.0)
    mesh = signals.decibels(level) * _mesh(gearbox, cycles, load, rng, fault)
    slope = signals.slope(gearbox.tilt + rng.normal(0, 0.3))
    rolling = signals.noise(n, slope, rng) * (1 + 0.06 * signals.slow(n, 4.0, rng))
    out = signals.filtered(mesh + ratio**2 * rolling, signals.casing(gearbox.modes))
    return out + signals.rms(out) * _chips(gearbox, n, fault)


def _mesh(gearbox, cycles, load, rng, fault):
    """Return (n,) mesh harmonics of unit RMS, modulated by both shafts.

    Wear makes the tooth profile uneven: the higher harmonics rise. An eccentric driven wheel
    (modulation) swings the mesh once a turn, some 5 Hz.
    """
    driven = cycles * gearbox.teeth[0] / gearbox.teeth[1]
    depth = gearbox.depth[1] + 0.32 * fault.amount("modulation")
    swing = signals.tone(driven, 1, rng)
    envelope = (1 + gearbox.depth[0] * signals.tone(cycles, 1, rng)) * (1 + depth * swing)
    bent = 0.02 * load / gearbox.teeth[0] * swing  # cycles by which the teeth lag under load
    worn = 1.6 * fault.amount("wear")
    levels = (min(k, 5) * worn - gearbox.fall * k + rng.normal(0, 1.2) for k in range(12))
    teeth = gearbox.teeth[0] * (cycles + bent)
    return signals.unit(signals.harmonics(teeth, map(signals.decibels, levels), rng)) * envelope


def _chips(gearbox, n, fault):
    """Return (n,) blows of loose debris between the teeth; nothing in a healthy gearbox."""
    strength = fault.amount("intermittent")
    if not strength:
        return 0.0
    times = faults.random_times(n, 2.0, fault.rng)
    strengths = 1.2 * strength * fault.rng.uniform(0.5, 1.2, len(times))
    return signals.ringing(n, times, strengths, gearbox.chip, fault.rng, decay=0.012)
