"""Building blocks of the simulated sounds: shafts, shaped noise, slow wander, resonances, ringing."""

from collections.abc import Callable, Iterable

import numpy as np

RATE = 16000  # Hz
Gain = Callable[[np.ndarray], np.ndarray]  # of frequencies in Hz


def rms(x: np.ndarray) -> np.ndarray:
    """Return the root mean square over the last axis, never zero."""
    return np.sqrt(np.mean(np.square(x), axis=-1)) + 1e-12


def unit(x: np.ndarray) -> np.ndarray:
    """Return ``x`` at unit RMS."""
    return x / rms(x)


def decibels(level: float | np.ndarray) -> float | np.ndarray:
    """Return the amplitude ratio of a level in dB."""
    return 10 ** (level / 20)


def slow(n: int, hertz: float, rng: np.random.Generator) -> np.ndarray:
    """Return (n,) of a smooth random process, about unit variance, with nothing much above ``hertz``."""
    knots = max(4, int(np.ceil(2 * hertz * n / RATE)) + 2)
    return np.interp(np.linspace(0, knots - 1, n), np.arange(knots), 1.2 * rng.standard_normal(knots))


def shaft(hertz: float, n: int, rng: np.random.Generator, wander: float = 0.002) -> np.ndarray:
    """Return the cycles (n,) a shaft has turned; its speed wanders by the relative sd ``wander``."""
    speed = hertz * (1 + wander * slow(n, 1.5, rng))
    return rng.uniform() + np.cumsum(speed) / RATE


def tone(cycles: np.ndarray, order: float, rng: np.random.Generator) -> np.ndarray:
    """Return (n,) a sine of ``order`` periods a cycle and random phase."""
    return np.sin(2 * np.pi * (order * cycles + rng.uniform()))


def harmonics(cycles: np.ndarray, amplitudes: Iterable[float], rng: np.random.Generator) -> np.ndarray:
    """Return (n,) the sum of ``tone`` of orders 1, 2, … at ``amplitudes``: powers of one turn, which is cheaper."""
    angle = 2 * np.pi * cycles
    turn, out = np.zeros((2, len(angle)), complex)
    np.cos(angle, out=turn.real)  # numpy's exponential of a complex number gives the same and takes longer
    np.sin(angle, out=turn.imag)
    for factor in [a * np.exp(2j * np.pi * rng.uniform()) for a in amplitudes][::-1]:
        out += factor
        out *= turn
    return out.imag


def filtered(x: np.ndarray, gain: Gain) -> np.ndarray:
    """Return ``x`` (n,) through the zero-phase or complex gain ``gain(frequency)``, frequencies in Hz."""
    from scipy.fft import irfft, next_fast_len, rfft

    size = next_fast_len(len(x), real=True)
    return irfft(rfft(x, size) * gain(np.fft.rfftfreq(size, 1 / RATE)), size)[: len(x)]


def noise(n: int, gain: Gain, rng: np.random.Generator) -> np.ndarray:
    """Return (n,) Gaussian noise of unit RMS whose spectrum has the amplitude ``gain(frequency)``."""
    return unit(filtered(rng.standard_normal(n), gain))


def slope(tilt: float) -> Gain:
    """Return a gain of ``tilt`` dB an octave around 1 kHz, silent below 30 Hz."""
    return lambda f: (f > 30) * decibels(tilt * np.log2(np.maximum(f, 30) / 1000))


def hump(centre: float, octaves: float) -> Gain:
    """Return a gain with a Gaussian peak (1 at ``centre`` Hz, sd in octaves)."""
    return lambda f: np.exp(-0.5 * (np.log2(np.maximum(f, 1) / centre) / octaves) ** 2)


def draw_modes(rng: np.random.Generator, count: int, low: float, high: float) -> np.ndarray:
    """Draw structural resonances: (count, 3) of frequency in Hz, quality factor, gain."""
    frequency = low * (high / low) ** ((np.arange(count) + rng.uniform(size=count)) / count)
    return np.column_stack([frequency, rng.uniform(8, 25, count), rng.uniform(0.3, 1.0, count)])


def casing(modes: np.ndarray) -> Gain:
    """Return the complex gain of a casing: straight radiation plus second-order modes (count, 3)."""

    def gain(f):
        total = np.ones_like(f, dtype=complex)
        for centre, quality, strength in modes:
            r = f / centre
            total += 4 * strength * (1j * r / quality) / (1 - r**2 + 1j * r / quality)
        return total

    return gain


def ringing(
    n: int, times: np.ndarray, strengths: np.ndarray, modes: np.ndarray, rng: np.random.Generator, decay: float
) -> np.ndarray:
    """Return (n,) of blows at ``times`` (samples), each ringing all ``modes`` for about ``decay`` seconds."""
    out = np.zeros(n)
    t = np.arange(int(5 * decay * RATE)) / RATE
    for start, strength in zip(np.asarray(times, int), strengths, strict=True):
        detune = rng.uniform(0.98, 1.02, len(modes))
        blow = modes[:, 2] @ np.sin(2 * np.pi * np.outer(modes[:, 0] * detune, t))
        room = min(len(t), n - start)
        out[start : start + room] += strength * (blow * np.exp(-t / (decay * rng.uniform(0.6, 1.5))))[:room]
    return out
