"""How often the report's sentence is right, where the truth is known; writes explanations.md.

Faults that are put into normal test clips: a tone, a band of noise, clicks. And the simulated faults: a clip without
its fault is otherwise the same, so what the fault changed in the named band and time is known.
"""

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from nearfar.data.audio import RATE
from nearfar.factory.build import clips
from nearfar.factory.mix import parts
from nearfar.report.explain import explain, normal_statistics
from nearfar.report.spectra import HERTZ, frames_as_seconds, log_mels

SIGNALS = ("near", "residual")
SECONDS, NOISE_SOURCES = 4.0, 4
SAMPLES = int(SECONDS * RATE)
WEAKEST = -20  # dB of a fault that is put in, relative to the near signal; the strongest is as strong


def tone(rng, samples, level):
    """A tone over a part of the clip."""
    hertz, start, end = np.exp(rng.uniform(np.log(200), np.log(6000))), *stretch(rng, samples)
    wave = np.zeros(samples)
    wave[start:end] = np.sqrt(2) * level * np.sin(2 * np.pi * hertz * np.arange(end - start) / RATE)
    return wave, (hertz, hertz), [(start, end)]


def band(rng, samples, level):
    """A band of noise over a part of the clip."""
    low, (start, end) = np.exp(rng.uniform(np.log(200), np.log(4000))), stretch(rng, samples)
    high = low * rng.uniform(1.3, 2)
    spectrum = np.fft.rfft(rng.standard_normal(end - start))
    hertz = np.fft.rfftfreq(end - start, 1 / RATE)
    spectrum[(hertz < low) | (hertz > high)] = 0
    noise = np.fft.irfft(spectrum, end - start)
    wave = np.zeros(samples)
    wave[start:end] = level * noise / noise.std()
    return wave, (low, high), [(start, end)]


def click(rng, samples, level):
    """One to three clicks of 10 ms."""
    wave, times = np.zeros(samples), []
    for start in rng.integers(0, samples - 1000, rng.integers(1, 4)):
        wave[start : start + 400] += 10 * level * rng.standard_normal(400) * np.exp(-np.arange(400) / 80)
        times.append((start, start + 160))
    return wave, None, times


def stretch(rng, samples):
    """Return the first and last sample of a part of a clip, of 30 to 50 %."""
    start = int(rng.uniform(0, 0.5) * samples)
    return start, start + int(rng.uniform(0.3, 0.5) * samples)


def covers(finding, hertz, times, samples):
    """Return whether a finding covers half of a fault's band and half of its time."""
    low, high = (HERTZ[edge] for edge in finding.bands)
    named = [frames_as_seconds(*time, samples) for time in finding.times]
    heard = sum(
        max(0, min(end, last / RATE) - max(start, first / RATE)) for first, last in times for start, end in named
    )
    in_time = heard >= 0.5 * sum(last - first for first, last in times) / RATE
    if hertz is None:  # a click has all bands
        return in_time
    if hertz[0] == hertz[1]:
        return in_time and low <= hertz[0] <= high
    return in_time and min(high, hertz[1]) - max(low, hertz[0]) >= 0.5 * (hertz[1] - hertz[0])


def heard(clip):
    """Return both channels of a simulated clip, (samples, 2)."""
    return sum(parts(clip, SECONDS, 0, noise_sources=NOISE_SOURCES)).T


def explained(wave, normal):
    """Return the signal in which most stands out, the finding there, and the maps of all signals."""
    maps = log_mels(wave)
    found = {signal: explain(maps[signal], normal[signal]) for signal in SIGNALS}
    signal = max(found, key=lambda name: found[name].ratio)
    return signal, found[signal], maps


def put_in(machine, wave, normal, rng, counts):
    """Count, of a normal clip with each fault put in, whether it stands out and whether the finding covers it."""
    for fault in (tone, band, click):
        level = wave[:, 0].std() * 10 ** (rng.uniform(WEAKEST, 0) / 20)
        added, hertz, times = fault(rng, SAMPLES, level)
        _, finding, _ = explained(wave + added[:, None] * [1, 0.3], normal)
        count(counts[fault.__name__, machine], finding, covers(finding, hertz, times, SAMPLES))


def simulated(clip, normal, counts):
    """Count whether half of what is said, in dB, of a clip with a simulated fault is the fault's doing."""
    signal, finding, maps = explained(heard(clip), normal)
    change = maps[signal] - log_mels(heard(replace(clip, fault="")))[signal]
    said = np.concatenate([change[slice(*finding.bands), slice(*time)] for time in finding.times], axis=1).mean()
    right = said * np.sign(finding.decibels) >= 0.5 * abs(finding.decibels)
    count(counts[clip.fault, clip.machine], finding, right)


def count(row, finding, right):
    """Add a clip to [clips, those that stand out, those of which the finding is right]."""
    row += [1, finding.ratio > 1, finding.ratio > 1 and right]


def measured(machine, counts):
    """Fill the counts of a machine, a dict from (fault, machine) to an array of three."""
    rng = np.random.default_rng(1)
    every = clips(machine, 110, 10, 25)
    train = [clip for clip in every if clip.split == "train"]
    maps = [log_mels(heard(clip)) for clip in train]
    domains = [clip.domain for clip in train]
    normal = {signal: normal_statistics([clip[signal] for clip in maps], domains) for signal in SIGNALS}
    for clip in every:
        if clip.fault:
            simulated(clip, normal, counts)
        elif clip.split == "test":
            wave = heard(clip)
            count(counts["none", machine], explained(wave, normal)[1], False)
            put_in(machine, wave, normal, rng, counts)


def main():
    """Measure the three machines of the default data and write the table."""
    counts = defaultdict(lambda: np.zeros(3, int))
    for machine in ("fan", "gearbox", "slider"):
        measured(machine, counts)
    lines = ["# How often the report's sentence is right", "", "Made by `benchmarks/explanations.py`.", ""]
    lines += ["| fault | clips | stand out | right | right, of those that stand out |", "|---|---|---|---|---|"]
    for fault in dict.fromkeys(name for name, _ in counts):
        clips_, out, right = sum(row for (name, _), row in counts.items() if name == fault)
        share = "–" if fault == "none" else f"{right / max(out, 1):.0%}"
        lines.append(f"| {fault} | {clips_} | {out} | {'–' if fault == 'none' else right} | {share} |")
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
