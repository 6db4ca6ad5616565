"""A shoebox hall with a machine, noise in its corners, a near and a far microphone (image sources)."""

from dataclasses import dataclass, replace

import numpy as np

from nearfar.factory import signals

ORDER = 6  # reflections; what comes later lies 20 dB and more below
SHADOW = 0.08  # share of the rear opening's sound that passes the machine and its hood to the near microphone
WALL = 0.05  # least distance of a microphone from a wall, m
BLOCK = 4  # length of a convolution's blocks, in responses; three times as fast as the whole sound at once
JITTER = 0.005  # sd of a microphone's position from clip to clip, m


@dataclass
class Room:
    """Geometry in metres."""

    size: np.ndarray  # (3,)
    absorption: float  # of energy, all walls
    sources: np.ndarray  # (2 + noise sources, 3): front of the machine, its rear opening, the places of noise
    mics: np.ndarray  # (2, 3): near, far
    opening: tuple[float, float]  # band of the rear opening: centre in Hz, width in octaves


def draw(rng: np.random.Generator, noise_sources: int) -> Room:
    """Draw a hall: near microphone 0.25-0.5 m before the machine, far one 2-3.5 m off on another side.

    Another number of noise sources leaves the rest of the hall, and those that both numbers have, as they are.
    """
    size = rng.uniform([8, 7, 3.2], [13, 10, 5])
    machine = np.append(size[:2] / 2 + rng.uniform(-0.8, 0.8, 2), rng.uniform(0.7, 1.2))
    facing = rng.uniform(0, 2 * np.pi)
    away = facing + rng.uniform(1.9, 4.4)  # radians: the far microphone is not in front
    near = machine + rng.uniform(0.25, 0.5) * _level(facing)
    far = machine + rng.uniform(2.0, 3.2) * _level(away) + [0, 0, rng.uniform(0, 0.8)]
    rear = machine + rng.uniform(0.4, 0.7) * _level(away + rng.uniform(-0.6, 0.6))
    noisy = [_corner(size, rng) for _ in range(2)]
    opening = (rng.uniform(600, 1600), rng.uniform(1.2, 1.8))
    absorption = rng.uniform(0.25, 0.45)
    noisy += [_corner(size, rng) for _ in range(noise_sources - 2)]  # last, for what the docstring says
    sources = np.stack([machine, rear, *noisy[:noise_sources]])
    return Room(size, absorption, sources, np.stack([near, far]), opening)


def _level(angle: float) -> np.ndarray:
    """Return the horizontal unit vector (3,) at ``angle``."""
    return np.array([np.cos(angle), np.sin(angle), 0.0])


def _corner(size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a place (3,) near the walls, where the other machines stand."""
    side = rng.choice([0.12, 0.88], 2) + rng.uniform(-0.06, 0.06, 2)
    return np.append(side * size[:2], rng.uniform(1.0, 2.5))


def shifted(room: Room, rng: np.random.Generator) -> Room:
    """Return the room of the target domain: microphones put up anew, noise from elsewhere."""
    moved = room.mics + rng.normal(0, [[0.04, 0.04, 0.02], [0.25, 0.25, 0.1]])
    sources = np.stack([*room.sources[:2], *(_corner(room.size, rng) for _ in room.sources[2:])])
    return replace(room, sources=sources, mics=moved)


def paths(room: Room, rng: np.random.Generator) -> np.ndarray:
    """Return the impulse responses (sources, 2 microphones, taps) of one clip.

    The microphones stand a little differently in every clip.
    """
    import pyroomacoustics as pra

    pra.constants.set("num_threads", 1)  # the order of the sums, hence the bytes, must not hang on the cores
    walls = pra.Material(room.absorption)
    hall = pra.ShoeBox(room.size, fs=signals.RATE, materials=walls, max_order=ORDER)
    for source in room.sources:
        hall.add_source(source)
    # the far microphone of a small hall can be drawn behind its wall
    mics = np.clip(room.mics + rng.normal(0, JITTER, (2, 3)), WALL, room.size - WALL)
    hall.add_microphone_array(mics.T)
    hall.compute_rir()
    taps = max(len(h) for mic in hall.rir for h in mic)
    out = np.stack([[np.pad(h, (0, taps - len(h))) for h in mic] for mic in hall.rir], axis=1)
    out[1, 0] *= SHADOW
    return out


def heard(sounds: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """Return (2, n): what the microphones hear of ``sounds`` (sources, n) through (sources, 2, taps)."""
    from scipy.fft import irfft, next_fast_len, rfft

    (_, n), (_, mics, taps) = sounds.shape, responses.shape
    size = next_fast_len(BLOCK * taps, real=True)
    step = size - taps + 1
    spectra = rfft(responses, size)
    out = np.zeros((mics, n + size))
    for start in range(0, n, step):  # each block rings on into the next
        block = rfft(sounds[:, start : start + step], size)
        out[:, start : start + size] += irfft(np.einsum("sf,smf->mf", block, spectra), size)
    return out[:, :n]
