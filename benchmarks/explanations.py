"""How often the report's sentence is right, where the truth is known; writes explanations.md.

Faults that are put into normal test clips: a tone, a band of noise, clicks, of which the finding is right if it covers
half of the fault's band and half of its time; where two are told, one of them. And the simulated faults: a clip without
its fault is otherwise the same, so what the fault changed is known. There the first finding is right if the fault
changed what is named as is said, and at least half as much as what it changed most among regions as large (bands side
by side, moments anywhere). "Half of the dB": half of what is said, in dB, is its doing. "By chance": right in this
sense, of the finding of the same clip without its fault. The explanation was chosen on seeds 100 to 102.
"""

import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from nearfar.data.audio import RATE
from nearfar.factory.build import clips
from nearfar.factory.mix import parts
from nearfar.report.explain import explain, jointly, normal_statistics, told
from nearfar.report.views import VIEWS, maps_of

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


def covers(finding, view, hertz, times):
    """Return whether a finding covers half of a fault's band and half of its time, in samples."""
    low, high = (view.hertz[edge] for edge in finding.bands)
    if view.columns != "time":
        return False
    named = [view.span(*stretch, SAMPLES) for stretch in finding.columns]
    heard = sum(
        max(0, min(end, last / RATE) - max(start, first / RATE)) for first, last in times for start, end in named
    )
    in_time = heard >= 0.5 * sum(last - first for first, last in times) / RATE
    if hertz is None:  # a click has all bands
        return in_time
    if hertz[0] == hertz[1]:
        return in_time and low <= hertz[0] <= high
    return in_time and min(high, hertz[1]) - max(low, hertz[0]) >= 0.5 * (hertz[1] - hertz[0])


def holds(finding, change):
    """Return whether what is named has half of the change that the best region as large has, and which decibels."""
    first, last = finding.bands
    named = [column for start, end in finding.columns for column in range(start, end)]
    sums = np.pad(change * np.sign(finding.decibels), ((1, 0), (0, 0))).cumsum(axis=0)
    profiles = (sums[last - first :] - sums[: len(sums) - (last - first)]) / (last - first)
    best = np.sort(profiles, axis=1)[:, -len(named) :].mean(axis=1).max()
    own = profiles[first, named].mean()
    return own > 0 and own >= 0.5 * best, own


def heard(clip, seed):
    """Return both channels of a simulated clip, (samples, 2)."""
    return sum(parts(clip, SECONDS, seed, noise_sources=NOISE_SOURCES)).T


def explained(maps, normal):
    """Return what is told of a clip: view and finding, that in which most stands out first."""
    found = {name: explain(maps[name], normal[name]) for name in normal}
    return [(name, found[name]) for name in told(found)]


def put_in(wave, normal, rng, counts):
    """Count, of a normal clip with each fault put in, whether it stands out and whether the finding covers it."""
    for fault in (tone, band, click):
        level = wave[:, 0].std() * 10 ** (rng.uniform(WEAKEST, 0) / 20)
        added, hertz, times = fault(rng, SAMPLES, level)
        found = explained(maps_of(wave + added[:, None] * [1, 0.3]), normal)
        covered = any(covers(finding, VIEWS[name], hertz, times) for name, finding in found)
        counts[fault.__name__] += row(found[0][1], covered)


def simulated(clip, seed, normal):
    """Return the row of a clip with a simulated fault: whether the finding holds what the fault changed."""
    maps, healthy = maps_of(heard(clip, seed)), maps_of(heard(replace(clip, fault=""), seed))
    changes = {name: maps[name] - healthy[name] for name in normal}
    name, finding = explained(maps, normal)[0]
    right, own = holds(finding, changes[name])
    chance, without = explained(healthy, normal)[0]
    return row(finding, right, own >= 0.5 * abs(finding.decibels), holds(without, changes[chance])[0])


def row(finding, right=False, decibels=False, chance=False):
    """Return what a clip counts as: (clips, that stand out, of these right, half of the dB, right by chance)."""
    out = finding.ratio > 1
    return np.array([1, out, out and right, out and decibels, chance], int)


def measured(machine, seed):
    """Return the counts of a machine, dict from fault to (5,)."""
    counts = defaultdict(lambda: np.zeros(5, int))
    rng = np.random.default_rng(1)
    every = clips(machine, 110, 10, 25)
    train = [clip for clip in every if clip.split == "train"]
    maps, domains = [maps_of(heard(clip, seed)) for clip in train], [clip.domain for clip in train]
    normal = jointly({name: normal_statistics([one[name] for one in maps], domains, VIEWS[name]) for name in VIEWS})
    for clip in every:
        if clip.fault:
            counts[clip.fault] += simulated(clip, seed, normal)
        elif clip.split == "test":
            wave = heard(clip, seed)
            counts["none"] += row(explained(maps_of(wave), normal)[0][1])
            put_in(wave, normal, rng, counts)
    return dict(counts)


def main(seeds):
    """Measure the three machines of each seed's default data and write the table."""
    tasks = [(machine, seed) for seed in seeds for machine in ("fan", "gearbox", "slider")]
    counts = defaultdict(int)
    with ProcessPoolExecutor(2) as pool:
        for of_machine in pool.map(measured, *zip(*tasks, strict=True)):
            for fault, row in of_machine.items():
                counts[fault] = counts[fault] + row
    lines = ["# How often the report's sentence is right", ""]
    lines += [f"Made by `benchmarks/explanations.py {' '.join(map(str, seeds))}`; its head says what is right.", ""]
    lines += ["| fault | clips | stand out | right | right, of those that stand out | half of the dB | by chance |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for fault, (clips_, out, right, decibels, chance) in counts.items():
        cells = [right, f"{right / max(out, 1):.0%}", f"{decibels / max(out, 1):.0%}", f"{chance / clips_:.0%}"]
        known = {"none": 0, "tone": 2, "band": 2, "click": 2}.get(fault, 4)
        lines.append(f"| {' | '.join(map(str, [fault, clips_, out, *cells[:known], *['–'] * (4 - known)]))} |")
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main([int(seed) for seed in sys.argv[1:]] or [0]))
