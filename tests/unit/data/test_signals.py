"""The residual W1 against its definition, what it must not depend on, and how far is far."""

import json

import numpy as np
import pytest
import soundfile
from conftest import CONFIG, noise, write_files

from nearfar.backbones.embed import channel_waves
from nearfar.data.signals import SIGNALS, channels_of, coherence_and_level, judge, residual, signal
from nearfar.errors import NearfarError
from nearfar.features import logmel
from nearfar.features.extraction import extract_machine
from nearfar.jobs.files import write_table


def recorded(samples=16000, seed=0, gain=1.0):
    """A machine that the near microphone hears, and a hall that both hear, each through its own filter."""
    rng = np.random.default_rng(seed)
    machine, hall = rng.standard_normal((2, samples))
    near = 0.05 * np.convolve(machine, [1, 0.5, 0.2], "same") + 0.1 * np.convolve(hall, [0.2, 0.5], "same")
    far = 0.1 * np.convolve(hall, [0.6, 0, -0.3, 0.1], "same") + 0.002 * machine
    return (gain * np.stack([near, far], axis=1)).astype(np.float32)


def defined(wave):
    """The residual window by window and by the DFT's own sums, in float64, as its definition reads."""
    samples, gain = len(wave), 0.9 / np.abs(wave).max()
    n = np.arange(1024)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / 1024)
    mirror = np.concatenate([np.arange(512, 0, -1), np.arange(samples), np.arange(samples - 2, samples - 514, -1)])
    starts = range(0, len(mirror) - 1023, 512)
    near, far = (
        np.array([np.fft.fft(window * gain * channel[mirror[s : s + 1024]].astype(np.float64)) for s in starts])
        for channel in wave.T
    )
    path = [c @ f.conj() / (f @ f.conj() + 1e-12) for c, f in zip(near.T, far.T, strict=True)]
    left, weight = np.zeros(len(mirror)), np.zeros(len(mirror))
    for start, spectrum in zip(starts, near - far * np.array(path), strict=True):
        left[start : start + 1024] += window * np.fft.ifft(spectrum).real
        weight[start : start + 1024] += window**2
    return (left[512 : 512 + samples] / weight[512 : 512 + samples]) / gain


@pytest.mark.parametrize("samples", [16000, 24000, 8192, 11200, 700])
def test_the_residual_is_as_it_is_defined(samples):
    wave = recorded(samples)
    found = residual(wave)
    assert found.shape == (samples,) and found.dtype == np.float32
    assert np.abs(found - defined(wave)).max() <= 1e-5 * np.abs(wave).max()


def test_the_residual_keeps_the_machine_and_loses_the_hall():
    rng = np.random.default_rng(1)
    machine, hall = rng.standard_normal((2, 48000))
    left = residual(np.stack([machine + hall, np.roll(hall, 3)], axis=1).astype(np.float32))
    assert np.corrcoef(left, machine)[0, 1] > 0.98 and abs(np.corrcoef(left, hall)[0, 1]) < 0.1


@pytest.mark.parametrize("gain", [1e-4, 0.3, 1000])
def test_a_gain_on_both_channels_is_one_on_the_residual(gain):
    left = residual(recorded())
    assert np.abs(residual(recorded(gain=gain)) / gain - left).max() <= 1e-5 * np.abs(left).max()


def test_a_silent_far_channel_leaves_the_near_one():
    wave = recorded()
    wave[:, 1] = 0
    assert np.abs(residual(wave) - wave[:, 0]).max() <= 1e-6 * np.abs(wave).max()


@pytest.mark.parametrize("gain", [1.0, -0.2, 30.0])
def test_channels_that_are_equal_but_for_a_gain_leave_silence_and_are_refused_with_a_word(gain):
    wave = recorded()
    wave[:, 1] = np.float32(gain) * wave[:, 0]
    assert np.abs(residual(wave)).max() <= 1e-6 * np.abs(wave).max()
    with pytest.raises(NearfarError, match="its residual is silent: the far channel holds all of the near one; remove"):
        signal(wave, "residual")
    assert np.array_equal(residual(np.zeros((2000, 2), np.float32)), np.zeros(2000))


@pytest.mark.parametrize("beyond", [0, 1, 63, 256, 510, 511])
def test_no_click_ends_the_residual_whatever_the_length_of_the_clip(beyond):
    left = residual(recorded(512 * 20 + beyond))
    assert np.abs(left[-64:]).max() < 2 * np.abs(left[:-64]).max()


def test_a_signal_is_a_channel_or_the_residual():
    wave = recorded()
    assert SIGNALS == ("near", "far", "residual")
    assert np.array_equal(signal(wave, "near"), wave[:, 0]) and np.array_equal(signal(wave, "far"), wave[:, 1])
    assert np.array_equal(signal(wave, "residual"), residual(wave))
    with pytest.raises(NearfarError, match="signal: 'pair' is not known; write one of near, far, residual"):
        signal(wave, "pair")
    assert [channels_of(names) for names in (["near"], ["far"], ["near", "residual"], ["residual"])] == [1, 2, 2, 2]


def test_one_reading_of_a_clip_gives_all_its_signals(tmp_path):
    wave = noise(("x",))
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype="FLOAT")
    found = dict(channel_waves([tmp_path / "a.wav"], SIGNALS))
    assert list(found) == [("a.wav", name) for name in SIGNALS]
    assert np.array_equal(found["a.wav", "residual"], residual(wave.astype(np.float32)))


def test_a_silent_residual_names_its_clip(tmp_path):
    wave = noise(("x",))[:, [0, 0]]
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype="PCM_16")
    with pytest.raises(NearfarError, match=r"a\.wav: its residual is silent"):
        list(channel_waves([tmp_path / "a.wav"], ["near", "residual"]))
    clips = write_files([tmp_path / "a.wav"], tmp_path / "clips")
    how = {"feature": "logmel", "channel": "residual", "params": CONFIG["features"]["logmel"], "made": "a"}
    with pytest.raises(NearfarError, match=r"a\.wav: its residual is silent"):
        extract_machine(clips, tmp_path / "out", **how)
    assert not (tmp_path / "out").exists()


def test_the_log_mel_of_the_residual_is_that_of_a_clip_that_holds_it():
    wave, extract = recorded(), logmel.extractor(**CONFIG["features"]["logmel"])
    alone = np.stack([residual(wave), wave[:, 1]], axis=1)
    assert np.array_equal(extract(wave, "residual"), extract(alone, "near"))
    assert not np.allclose(extract(wave, "residual"), extract(wave, "near"), atol=0.1)


def test_coherence_and_level_tell_a_far_microphone_from_a_near_one():
    rng = np.random.default_rng(2)
    machine, hum, hiss = rng.standard_normal((3, 160000))
    coherence, level = coherence_and_level(np.stack([machine, 0.5 * np.roll(machine, 2)], axis=1))
    assert coherence > 0.99 and level == pytest.approx(20 * np.log10(2), abs=0.01)
    coherence, level = coherence_and_level(np.stack([machine, 0.1 * hum], axis=1))
    assert coherence < 0.01 and level == pytest.approx(20, abs=0.1)
    half = np.stack([machine + hum, machine + hiss], axis=1)
    assert coherence_and_level(half)[0] == pytest.approx(0.25, abs=0.02)  # (1/2)², as half of each power is shared
    assert coherence_and_level(100 * half) == pytest.approx(coherence_and_level(half))
    assert np.isfinite(coherence_and_level(np.stack([machine, 0 * machine], axis=1))).all()


def delayed(wave, samples):
    """A wave, later by a number of samples that need not be whole."""
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(len(wave)) * samples)
    return np.fft.irfft(np.fft.rfft(wave) * turns, len(wave))


def machine_in(distance, noise, samples=64000):
    """A clip of a machine in diffuse noise: two microphones 7 cm apart, or the far one across the hall."""
    rng = np.random.default_rng(3)
    machine, *waves = rng.standard_normal((33, samples))
    metres, loss = {"array": (0.07, 1.0), "hall": (3.0, 0.1)}[distance]
    along = metres / 343 * 16000
    heard = [delayed(wave, along * rng.uniform(-1, 1)) for wave in waves]
    scale = noise / np.sqrt(len(waves))
    return 0.03 * np.stack([machine + scale * sum(waves), loss * delayed(machine, along) + scale * sum(heard)], axis=1)


@pytest.mark.parametrize(
    ("distance", "noise", "coherence", "level"),
    [
        *(("array", 0.5, 0.70, 0.0), ("array", 1.0, 0.39, 0.0), ("array", 2.0, 0.21, 0.0)),
        *(("hall", 0.5, 0.04, 6.8), ("hall", 1.0, 0.03, 3.0), ("hall", 2.0, 0.03, 1.0)),
    ],
)
def test_a_far_microphone_that_is_not_far_is_named(tmp_path, capsys, distance, noise, coherence, level):
    path, far = str(tmp_path / "a.wav"), distance == "hall"
    soundfile.write(path, np.clip(machine_in(distance, noise), -1, 1), 16000, subtype="FLOAT")
    write_table(tmp_path / "clips", {"file": ["a.wav"], "place": [path]})
    judge(tmp_path / "clips", tmp_path / "pump.json", machine="pump")
    judged = json.loads((tmp_path / "pump.json").read_text())
    assert judged["coherence"] == pytest.approx(coherence, abs=0.02)
    assert judged["level"] == pytest.approx(level, abs=0.05)
    assert judged["far"] is far
    said = capsys.readouterr().err
    assert said.startswith("nearfar: warning: pump: its far microphone hears") == (not far)
    assert said.count("\n") == (not far)
