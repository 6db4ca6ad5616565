"""What stands out in a clip, where the truth is known: faults that the test puts into simulated clips."""

import numpy as np
import pytest

from nearfar.data.audio import RATE
from nearfar.factory.mix import Clip, parts
from nearfar.report.explain import Finding, departures, explain, normal_statistics
from nearfar.report.spectra import BANDS, HERTZ, frames_as_seconds, log_mels
from nearfar.report.words import driven, sentence

SECONDS, NORMAL, TESTED = 2.0, 48, 16
SAMPLES = int(SECONDS * RATE)


def simulated(machine, split, number):
    clip = Clip(machine, "target" if number % 6 == 5 else "source", split, "normal", number)
    return sum(parts(clip, SECONDS, 0, noise_sources=4)).T


def tone(rng, level):
    """A tone over a part of the clip."""
    hertz, start, end = np.exp(rng.uniform(np.log(200), np.log(6000))), *stretch(rng)
    wave = np.zeros(SAMPLES)
    wave[start:end] = np.sqrt(2) * level * np.sin(2 * np.pi * hertz * np.arange(end - start) / RATE)
    return wave, (hertz, hertz), [(start, end)]


def band(rng, level):
    """A band of noise over a part of the clip."""
    low, (start, end) = np.exp(rng.uniform(np.log(200), np.log(4000))), stretch(rng)
    high = low * rng.uniform(1.3, 2)
    spectrum = np.fft.rfft(rng.standard_normal(end - start))
    hertz = np.fft.rfftfreq(end - start, 1 / RATE)
    spectrum[(hertz < low) | (hertz > high)] = 0
    noise = np.fft.irfft(spectrum, end - start)
    wave = np.zeros(SAMPLES)
    wave[start:end] = level * noise / noise.std()
    return wave, (low, high), [(start, end)]


def click(rng, level):
    """One to three clicks of 10 ms."""
    wave, times = np.zeros(SAMPLES), []
    for start in rng.integers(0, SAMPLES - 1000, rng.integers(1, 4)):
        wave[start : start + 400] += 10 * level * rng.standard_normal(400) * np.exp(-np.arange(400) / 80)
        times.append((start, start + 160))
    return wave, None, times


def stretch(rng):
    start = int(rng.uniform(0, 0.5) * SAMPLES)
    return start, start + int(rng.uniform(0.3, 0.5) * SAMPLES)


def covers(finding, hertz, times):
    """Return whether a finding covers half of a fault's band and half of its time."""
    low, high = (HERTZ[edge] for edge in finding.bands)
    named = [frames_as_seconds(*time, SAMPLES) for time in finding.times]
    heard = sum(
        max(0, min(end, last / RATE) - max(start, first / RATE)) for first, last in times for start, end in named
    )
    in_time = heard >= 0.5 * sum(last - first for first, last in times) / RATE
    if hertz is None:  # a click has all bands
        return in_time
    if hertz[0] == hertz[1]:
        return in_time and low <= hertz[0] <= high
    return in_time and min(high, hertz[1]) - max(low, hertz[0]) >= 0.5 * (hertz[1] - hertz[0])


@pytest.fixture(scope="module", params=["fan", "slider"])
def machine(request):
    """The statistics of a simulated machine's normal clips, and other normal clips."""
    train = [log_mels(simulated(request.param, "train", number))["near"] for number in range(NORMAL)]
    domains = ["target" if number % 6 == 5 else "source" for number in range(NORMAL)]
    return normal_statistics(train, domains), [simulated(request.param, "test", number) for number in range(TESTED)]


@pytest.mark.slow
@pytest.mark.parametrize("fault", [tone, band, click])
def test_the_named_band_and_time_cover_the_fault(machine, fault):
    normal, clips = machine
    rng, found = np.random.default_rng(1), []
    for wave in clips * 2:
        level = wave[:, 0].std() * 10 ** (rng.uniform(-10, 0) / 20)
        added, hertz, times = fault(rng, level)
        finding = explain(log_mels(wave + added[:, None] * [1, 0.3])["near"], normal)
        if finding.ratio > 1:
            assert finding.decibels > 0
            found.append(covers(finding, hertz, times))
    assert len(found) >= 20, "detected too few"
    assert np.mean(found) >= 0.8, f"{np.mean(found):.2f} of {len(found)}"


@pytest.mark.slow
def test_few_normal_clips_stand_out(machine):
    normal, clips = machine
    ratios = [explain(log_mels(wave)["near"], normal).ratio for wave in clips]
    assert np.mean(np.array(ratios) > 1) <= 0.25, ratios


def noise_maps(clips=20, windows=40, seed=0):
    return list(np.random.default_rng(seed).normal(-40, 2, (clips, BANDS, windows)))


def test_a_rectangle_is_found_where_it_was_put():
    normal = normal_statistics(noise_maps(windows=120), ["source"] * 20)
    (clip,) = noise_maps(1, windows=120, seed=1)
    clip[20:24, 40:72] -= 9
    finding = explain(clip, normal)
    assert finding.ratio > 1 and -10 < finding.decibels < -5
    assert finding.bands == (20, 24)
    assert abs(finding.times[0][0] - 40) <= 10 and abs(finding.times[-1][1] - 72) <= 10
    unusual = departures(clip, normal, 4)
    assert unusual.shape == clip.shape and unusual[21, 55] < -4


@pytest.mark.parametrize("windows", [1, 3, 40])
def test_clips_may_be_of_any_length(windows):
    normal = normal_statistics(noise_maps() + noise_maps(5, 7), ["source"] * 20 + ["target"] * 5)
    (clip,) = noise_maps(1, windows, seed=2)
    assert departures(clip, normal, 4).shape == clip.shape
    finding = explain(clip, normal)
    assert 0 <= finding.times[0][0] < finding.times[-1][1] <= windows


def test_silence_in_every_clip_stands_out_in_none():
    normal = normal_statistics([np.full((BANDS, 30), -100.0)] * 4, ["source"] * 4)
    finding = explain(np.full((BANDS, 30), -100.0), normal)
    assert finding.ratio <= 1 and np.isfinite(finding.decibels)


def test_a_finding_in_words():
    loud = Finding(bands=(10, 12), times=[(10, 20)], decibels=8.6, ratio=2.34)
    words = sentence(loud, "residual", 4 * RATE)
    assert words.startswith("9 dB louder than expected at 344–422 Hz, from 0.3 to 0.6 s, in the residual"), words
    assert "2.3 times" in words
    faint = Finding(bands=(40, 50), times=[(0, 126)], decibels=-2, ratio=0.7)
    words = sentence(faint, "near", 4 * RATE)
    assert words.startswith("No single band or moment stands out") and "throughout" in words and "quieter" in words
    moments = Finding(bands=(0, 64), times=[(t, t + 1) for t in range(0, 120, 20)], decibels=12, ratio=3)
    assert "3 more times" in sentence(moments, "near", 4 * RATE)


def test_the_detectors_that_drive_a_score_in_words():
    assert driven({"knn": 0.3, "raw": 0.1, "c1": -0.2}) == "The score comes from knn (75%) and raw (25%)."
    assert driven({"knn": -0.1}) == "No detector finds it more unusual than half of the normal clips."
