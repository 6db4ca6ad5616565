"""What stands out in a clip, where the truth is known: faults that the test puts into simulated clips."""

import numpy as np
import pytest
from explanations import band, click, covers, tone

from nearfar.data.audio import RATE
from nearfar.factory.mix import Clip, parts
from nearfar.report.explain import Finding, departures, explain, normal_statistics
from nearfar.report.spectra import BANDS, log_mels
from nearfar.report.words import driven, sentence

SECONDS, NORMAL, TESTED = 2.0, 48, 16
SAMPLES = int(SECONDS * RATE)


def simulated(machine, split, number):
    clip = Clip(machine, "target" if number % 6 == 5 else "source", split, "normal", number)
    return sum(parts(clip, SECONDS, 0, noise_sources=4)).T


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
        added, hertz, times = fault(rng, SAMPLES, level)
        finding = explain(log_mels(wave + added[:, None] * [1, 0.3])["near"], normal)
        if finding.ratio > 1:
            assert finding.decibels > 0
            found.append(covers(finding, hertz, times, SAMPLES))
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
