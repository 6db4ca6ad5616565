"""What the small EAT is pre-trained on: normal clips of simulated machines, halls and noises, each met once or twice.

Far wider than the simulated data set: every pair of clips has a machine, hall and noise of its own, and speed, load,
level, machine-to-noise ratio and colour are drawn anew for each clip. The variants are negative numbers, which the
simulated data set's never are: not one of its machines, let alone of its clips, is among them.
"""

from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from nearfar.backbones.fbank import MELS, eat_input, frame_count, input_length
from nearfar.factory import mix, noise, signals
from nearfar.jobs.files import new_array
from nearfar.jobs.kinds import Count, Positive
from nearfar.jobs.progress import bar
from nearfar.seeds import seed_for

SPEEDS, LOADS = (-1.0, 7.0), (1.0, 3.0)  # beyond the data set's 1…4 and 1…3: 0.64 to 1.6 times the nominal speed
LEVEL, NOISE = 12.0, 9.0  # half the spread of the level, and of the noise against the data set's, dB
TILT, COLOUR = 3.0, 4.0  # of the whole recording: half the spread of dB an octave; sd of dB at each of noise.KNOTS
NOISE_SOURCES = 2  # of a hall, as in those that the shipped model has heard
WALL = 0.05  # what is nearer to a wall counts as outside, m


@dataclass(frozen=True)
class AnyClip(mix.Clip):
    """A clip at any speed and load, not only at the machine's own conditions."""

    condition: tuple[float, float] = (2.0, 1.0)


def write_inputs(path: str | Path, *, clips: Count, seconds: Positive, seed: int) -> None:
    """Write EAT's inputs of ``clips`` clips of ``seconds``, float16 (2 · clips, frames, 128), as one .npy file.

    Rows 2i and 2i + 1 are the near and the far channel of clip i: two mono examples. Raises NearfarError where the
    file cannot be written.
    """
    length = input_length(frame_count(round(seconds * signals.RATE)))
    with new_array(path, np.float16, (2 * clips, length, MELS)) as inputs:
        for number in bar(range(clips), "pretraining data"):
            inputs[2 * number : 2 * number + 2] = _inputs(simulated(number, seconds, seed))


def simulated(number: int, seconds: float, seed: int) -> np.ndarray:
    """Return clip ``number``: (2, samples) of the near and the far microphone, in [-1, 1]."""
    rng = np.random.default_rng(seed_for(seed, "pretraining", number))
    machine, domain = list(mix.MODELS)[number // 2 % len(mix.MODELS)], ("source", "target")[number % 2]
    condition = rng.uniform(*SPEEDS), rng.uniform(*LOADS)
    clip = AnyClip(machine, domain, "pretraining", "normal", number, condition=condition)
    alone, around = mix.parts(clip, seconds, seed, noise_sources=NOISE_SOURCES, variant=_variant(machine, number // 2))
    both = alone + signals.decibels(rng.uniform(-NOISE, NOISE)) * around
    gain = _colour(rng)
    both = np.stack([signals.filtered(channel, gain) for channel in both])
    level = mix.LEVEL + rng.uniform(-LEVEL, LEVEL)
    return np.clip(signals.decibels(level) * both / signals.rms(both[0]), -1, 1)


def _variant(machine, number):
    """Return the ``number``-th variant of a machine, or a stand-in where its hall is too small for it."""
    for attempt in count():
        variant = -1 - number - attempt * 10**6
        halls = [hall for hall, _ in mix.place(machine, variant, NOISE_SOURCES)[1].values()]
        if all(_inside(np.concatenate([hall.sources, hall.mics]), hall.size) for hall in halls):
            return variant


def _inside(places, size):
    """Whether all places (n, 3) lie inside a hall of ``size`` (3,), with room for the microphones' jitter."""
    return bool(((places > WALL) & (places < size - WALL)).all())


def _colour(rng):
    """Draw the gain, a function of frequency in Hz, of an unknown recording chain: a slope and a smooth wander."""
    octaves = noise.KNOTS - np.log2(1000)
    colour = rng.uniform(-TILT, TILT) * octaves + rng.normal(0, COLOUR, len(octaves))
    return lambda f: signals.decibels(np.interp(np.log2(np.maximum(f, 30)), noise.KNOTS, colour))


def _inputs(waves):
    """Return EAT's inputs (channels, frames, 128) of waves (channels, samples)."""
    import torch

    return np.stack([eat_input(torch.from_numpy(wave.astype(np.float32)))[0].numpy() for wave in waves])
