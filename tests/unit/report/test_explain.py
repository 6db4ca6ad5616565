"""What stands out in a clip, where the truth is known: faults that the test puts into simulated clips."""

import explanations
import numpy as np
import pytest
from conftest import CONFIG
from explanations import band, click, covers, holds, tone

from nearfar.data.audio import RATE
from nearfar.factory.mix import Clip, parts
from nearfar.report.explain import Finding, departures, explain, jointly, normal_statistics, told
from nearfar.report.spectra import BANDS
from nearfar.report.views import FASTEST, VIEWS, maps_of, swings
from nearfar.report.words import COMPARED, HEARD, compared, driven, sentence

SECONDS, NORMAL, TESTED = 2.0, 48, 16
SAMPLES = int(SECONDS * RATE)
NEAR = VIEWS["near"]


def simulated(machine, split, number):
    clip = Clip(machine, "target" if number % 6 == 5 else "source", split, "normal", number)
    return sum(parts(clip, SECONDS, 0, noise_sources=4)).T


@pytest.fixture(scope="module", params=["fan", "slider"])
def machine(request):
    """The statistics of a simulated machine's normal clips, and other normal clips."""
    train = [maps_of(simulated(request.param, "train", number))["near"] for number in range(NORMAL)]
    domains = ["target" if number % 6 == 5 else "source" for number in range(NORMAL)]
    tested = [simulated(request.param, "test", number) for number in range(TESTED)]
    return normal_statistics(train, domains, NEAR), tested


@pytest.mark.slow
@pytest.mark.parametrize("fault", [tone, band, click])
def test_the_named_band_and_time_cover_the_fault(machine, fault, monkeypatch):
    monkeypatch.setattr(explanations, "SAMPLES", SAMPLES)
    normal, clips = machine
    rng, found = np.random.default_rng(1), []
    for wave in clips * 2:
        level = wave[:, 0].std() * 10 ** (rng.uniform(-10, 0) / 20)
        added, hertz, times = fault(rng, SAMPLES, level)
        finding = explain(maps_of(wave + added[:, None] * [1, 0.3])["near"], normal)
        if finding.ratio > 1:
            assert finding.decibels > 0
            found.append(covers(finding, NEAR, hertz, times))
    assert len(found) >= 20, "detected too few"
    assert np.mean(found) >= 0.8, f"{np.mean(found):.2f} of {len(found)}"


@pytest.mark.slow
def test_few_normal_clips_stand_out(machine):
    normal, clips = machine
    ratios = [explain(maps_of(wave)["near"], normal).ratio for wave in clips]
    assert np.mean(np.array(ratios) > 1) <= 0.25, ratios


def noise_maps(clips=20, windows=40, seed=0):
    return list(np.random.default_rng(seed).normal(-40, 2, (clips, BANDS, windows)))


def test_a_rectangle_is_found_where_it_was_put():
    normal = normal_statistics(noise_maps(windows=120), ["source"] * 20, NEAR)
    (clip,) = noise_maps(1, windows=120, seed=1)
    clip[20:24, 40:72] -= 9
    finding = explain(clip, normal)
    assert finding.ratio > 1 and -10 < finding.decibels < -5
    assert finding.bands == (20, 24)
    assert abs(finding.columns[0][0] - 40) <= 10 and abs(finding.columns[-1][1] - 72) <= 10
    unusual = departures(clip, normal, "source", 4)
    assert unusual.shape == clip.shape and unusual[21, 55] < -4


@pytest.mark.parametrize("windows", [1, 3, 40])
def test_clips_may_be_of_any_length(windows):
    normal = normal_statistics(noise_maps() + noise_maps(5, 7), ["source"] * 20 + ["target"] * 5, NEAR)
    (clip,) = noise_maps(1, windows, seed=2)
    assert departures(clip, normal, "target", 4).shape == clip.shape
    finding = explain(clip, normal)
    assert 0 <= finding.columns[0][0] < finding.columns[-1][1] <= windows


def test_silence_in_every_clip_stands_out_in_none():
    normal = normal_statistics([np.full((BANDS, 30), -100.0)] * 4, ["source"] * 4, NEAR)
    finding = explain(np.full((BANDS, 30), -100.0), normal)
    assert finding.ratio <= 1 and np.isfinite(finding.decibels)


def found(bands, columns, decibels, ratio):
    return Finding(bands, columns, decibels, ratio, "source")


def test_a_finding_in_words():
    loud = found((10, 12), [(10, 20)], 8.6, 2.34)
    words = sentence(loud, VIEWS["residual"], 4 * RATE)
    assert words.startswith("9 dB louder than expected at 344–422 Hz, from 0.3 to 0.6 s, in the residual"), words
    assert "2.3 times" in words
    faint = found((40, 50), [(0, 126)], -2, 0.7)
    words = sentence(faint, NEAR, 4 * RATE)
    assert words.startswith("No single band or moment stands out") and "throughout" in words and "quieter" in words
    moments = found((0, 64), [(t, t + 1) for t in range(0, 120, 20)], 12, 3)
    assert "3 more times" in sentence(moments, NEAR, 4 * RATE)


def test_swings_and_the_path_in_words():
    words = sentence(found((1, 3), [(7, 9)], 5.2, 1.5), VIEWS["swings"], 4 * RATE)
    assert words.startswith("The level swings 5 dB more than expected at ") and "3.9 to 4.4 times a second" in words
    words = sentence(found((10, 20), [(0, 1)], -3.4, 1.2), VIEWS["path"], 4 * RATE)
    assert words.startswith("What the near microphone hears reaches the far one 3 dB quieter than expected"), words


@pytest.mark.parametrize("hertz", [3.0, 9.0])
def test_a_swing_stands_out_at_its_pace(hertz):
    rng = np.random.default_rng(0)

    def wave(depth):
        time = np.arange(4 * RATE) / RATE
        return (rng.standard_normal(len(time)) * (1 + depth * np.sin(2 * np.pi * hertz * time)))[:, None]

    view = VIEWS["swings"]
    normal = normal_statistics([maps_of(wave(0))["swings"] for _ in range(20)], ["source"] * 20, view)
    finding = explain(maps_of(wave(0.3))["swings"], normal)
    paces = [view.span(*columns, 4 * RATE) for columns in finding.columns]
    assert finding.ratio > 1 and finding.decibels > 0 and finding.bands == (0, 4)
    assert any(low - 0.5 <= hertz <= high + 0.5 and high - low < 4 for low, high in paces), paces


def test_a_wider_path_to_far_stands_out_in_its_band():
    rng = np.random.default_rng(0)

    def wave(gain):
        near = rng.standard_normal(2 * RATE)
        spectrum = np.fft.rfft(near)
        hertz = np.fft.rfftfreq(len(near), 1 / RATE)
        far = np.fft.irfft(spectrum * np.where((hertz > 1000) & (hertz < 2000), gain, 0.3), len(near))
        return np.column_stack([near, far + 0.3 * rng.standard_normal(len(near))])

    normal = normal_statistics([maps_of(wave(0.3))["path"] for _ in range(20)], ["source"] * 20, VIEWS["path"])
    finding = explain(maps_of(wave(0.6))["path"], normal)
    low, high = (VIEWS["path"].hertz[edge] for edge in finding.bands)
    assert finding.ratio > 1 and 4 < finding.decibels < 8
    assert 900 < low < 1200 and 1800 < high < 2200, (low, high)


@pytest.mark.parametrize("windows", [1, 2, 100, 256, 900])
def test_swings_of_clips_of_any_length(windows):
    short = np.random.default_rng(0).normal(-40, 2, (16, windows))
    assert swings(short).shape == (4, FASTEST) and np.isfinite(swings(short)).all()


def test_one_view_that_is_wide_by_itself_lowers_the_others():
    rng = np.random.default_rng(0)
    normals = {name: normal_statistics(noise_maps(seed=seed), ["source"] * 20, NEAR) for seed, name in enumerate("ab")}
    together = jointly(normals)
    clip = rng.normal(-40, 2, (BANDS, 40))
    for name in normals:
        assert explain(clip, together[name]).ratio <= explain(clip, normals[name]).ratio + 1e-9


def test_a_view_that_names_no_time_is_told_with_one_that_does():
    low, high, higher = (found((0, 1), [(0, 1)], 3, ratio) for ratio in (0.9, 1.5, 2))
    assert told({"near": low, "moments": high, "swings": higher}) == ["swings", "moments"]
    assert told({"near": low, "moments": low, "swings": higher}) == ["swings"]
    assert told({"near": higher, "moments": high, "swings": high}) == ["near"]


def test_what_is_named_must_hold_half_of_the_change():
    change = np.zeros((8, 20))
    change[2:4, 5:10] = 6
    assert holds(found((2, 4), [(5, 10)], 4, 2), change) == (True, 6)
    assert not holds(found((2, 4), [(5, 10)], -4, 2), change)[0]
    assert not holds(found((5, 7), [(5, 10)], 4, 2), change)[0]
    assert not holds(found((2, 4), [(8, 13)], 4, 2), change)[0]


def test_the_detectors_that_drive_a_score_in_words():
    assert driven({"knn": 0.3, "raw": 0.1, "c1": -0.2}) == "The score comes from knn (75%) and raw (25%)."
    assert driven({"knn": -0.1}) == "No detector finds it more unusual than half of the normal clips."


def test_every_shipped_detector_is_told_in_words():
    for about in CONFIG["detectors"].values():
        said = compared(about)
        assert about["method"] in COMPARED and COMPARED[about["method"]] in said
        assert all(view.split("/")[0] in HEARD for view in about["views"])
    assert compared(CONFIG["detectors"]["c1"]).endswith("what an audio transformer hears (near and far)")
    scaled = compared(CONFIG["detectors"]["logmel_residual_scaled"])
    assert scaled.endswith("of each mel band (residual, each feature in its own deviation)")
    assert compared({"method": "mine", "views": ["cepstra/near"]}) == "mine: cepstra (near)"
