"""One clip: a machine and the factory around it, as the two microphones record them."""

from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from nearfar.factory import fan, faults, gearbox, noise, room, signals, slider
from nearfar.seeds import seed_for

MODELS = {"fan": fan, "gearbox": gearbox, "slider": slider}
LEVEL = -30.0  # RMS of the near channel, dB below full scale
GAIN = 2.0  # half the spread of the level, dB
SNR = {"source": 4.0, "target": 3.0}  # machine to noise at the near microphone, dB
SNR_SPREAD = 1.5  # half the spread, dB
DROP, DROP_SPREAD = 7.0, 0.5  # how much less machine to noise the far microphone gets, dB
LEAK = 0.12  # what a shut panel lets through to the far microphone, against the front of the machine
OPEN = 0.65  # what an open panel adds
LEAD = signals.RATE // 4  # samples rendered before the clip begins, so that no reverberation fades in


@dataclass(frozen=True)
class Clip:
    """Which clip: all that its sound depends on."""

    machine: str
    domain: str  # source | target
    split: str  # train | test
    label: str  # normal | anomaly
    number: int  # within machine, domain, split and label
    fault: str = ""  # one of faults.KINDS for an anomaly

    @property
    def model(self) -> ModuleType:
        """How its kind of machine sounds, one of MODELS."""
        return MODELS[kind(self.machine)]

    @property
    def condition(self) -> tuple[int, int]:
        """Speed and load: every fault meets every condition of its domain."""
        conditions = self.model.CONDITIONS[self.domain]
        return conditions[sum(divmod(self.number, len(faults.KINDS))) % len(conditions)]

    @property
    def name(self) -> str:
        """File name in the challenge's layout."""
        speed, load = self.condition
        attributes = "noAttribute" if self.model.HIDDEN else f"spd_{speed}_load_{load}"
        return f"section_00_{self.domain}_{self.split}_{self.label}_{self.number:04d}_{attributes}.wav"


def kind(machine: str) -> str:
    """Return the kind of a machine, which stands before the first ``_`` of its name: that of fan_2 is fan."""
    return machine.partition("_")[0]


@lru_cache(maxsize=8)
def place(
    machine: str, variant: int, noise_sources: int
) -> tuple[Any, dict[str, tuple[room.Room, tuple[noise.Noise, ...]]]]:
    """Draw machine ``variant`` with its hall and noise.

    Returns the machine's constants and, for each domain, the room and a noise for each of its noise sources.
    """

    def rng(*words):
        return np.random.default_rng(seed_for(variant, *words))

    hall = room.draw(rng("room"), noise_sources)
    halls = {"source": hall, "target": room.shifted(hall, rng("room", "target"))}
    return MODELS[kind(machine)].draw(rng("machine")), {
        domain: (hall, tuple(noise.draw(rng("noise", domain, i)) for i in range(noise_sources)))
        for domain, hall in halls.items()
    }


def parts(
    clip: Clip, seconds: float, seed: int, *, noise_sources: int, variant: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return machine and noise, each (2, samples) of near and far; their sum is the clip.

    The noise sources sound independently of each other, each from a place of its own to both microphones.
    ``variant`` draws a machine, hall and noise of its own; the data set's follows from ``seed``.
    The fault has random numbers of its own: a clip with ``fault=""`` is the same clip, healthy.
    """
    variant = seed_for(seed, clip.machine, "variant") if variant is None else variant
    constants, domains = place(clip.machine, variant, noise_sources)
    hall, noises = domains[clip.domain]

    def rng(*words):
        return np.random.default_rng(
            seed_for(seed, variant, clip.machine, clip.domain, clip.split, clip.label, clip.number, *words)
        )

    n = round(seconds * signals.RATE) + LEAD
    fault = faults.draw(clip.fault, rng("fault"))
    dry = clip.model.sound(constants, *clip.condition, n, rng("machine"), fault)
    responses = room.paths(hall, rng("room"))
    both = _radiated(dry, hall, responses, rng("leak"), fault)
    machine = room.heard(both, responses[:2])[:, LEAD:]
    around = np.stack([noise.sound(one, n, rng("noise", i)) for i, one in enumerate(noises)])
    return scaled(machine, room.heard(around, responses[2:])[:, LEAD:], clip.number, SNR[clip.domain])


def _radiated(
    dry: np.ndarray, hall: room.Room, responses: np.ndarray, rng: np.random.Generator, fault: faults.Fault
) -> np.ndarray:
    """Return (2, n): the front of the machine and its rear opening, which passes a band of the sound.

    The opening is as large as it takes: LEAK and OPEN hold at the far microphone, whatever the variant.
    """
    front, back = signals.rms(responses[:2, 1])
    rear = signals.unit(signals.filtered(dry, signals.hump(*hall.opening))) * signals.rms(dry) * front / back
    leak = LEAK * np.exp(0.2 * rng.standard_normal()) + OPEN * fault.amount("path")
    return np.stack([dry, leak * rear])


def scaled(machine: np.ndarray, noise: np.ndarray, number: int, snr: float) -> tuple[np.ndarray, np.ndarray]:
    """Return machine and noise (2, samples) at the levels of clip ``number``.

    Level, machine-to-noise ratio and its drop run through fixed additive sequences over the number
    (Roberts's generalised golden ratio), the same for normal and anomalous clips: none tells the label.
    """
    snr = snr + SNR_SPREAD * spread(number, 0.8191725134)
    drop = DROP + DROP_SPREAD * spread(number, 0.6710436067)
    machine = signals.decibels(np.array([[0.0], [-drop]])) * machine / signals.rms(machine)[:, None]
    noise = signals.decibels(-snr) * noise / signals.rms(noise)[:, None]
    level = signals.decibels(LEVEL + GAIN * spread(number, 0.5497004779)) / signals.rms(machine[0] + noise[0])
    return level * machine, level * noise


def spread(number: int, step: float) -> float:
    """Return element ``number`` of an additive quasi-random sequence, in -1…1."""
    return 2 * ((number + 0.5) * step % 1.0) - 1
