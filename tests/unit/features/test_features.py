import subprocess
import sys

import numpy as np
import pytest
from conftest import CONFIG

from nearfar.errors import NearfarError
from nearfar.features import logmel, mel, modulation, rtf, spectrum


@pytest.fixture
def wave():
    random = np.random.default_rng(0)
    near = np.cumsum(random.standard_normal(32000)) * 1e-3  # a steep spectrum
    far = 0.3 * np.roll(near, 5) + 0.01 * random.standard_normal(32000)
    return np.stack([near - near.mean(), far], axis=1).astype(np.float32)


def delayed(delay, gain, frames=64000):
    """White noise near, the same ``delay`` samples later and ``gain`` times as strong far."""
    noise = np.random.default_rng(1).standard_normal(frames + delay).astype(np.float32)
    return np.stack([noise[delay:], gain * noise[: len(noise) - delay]], axis=1)


@pytest.mark.parametrize("gain", [1e-3, 30])
def test_logmel_gain_shifts_means_only(wave, gain):
    extract = logmel.extractor(**CONFIG["features"]["logmel"])
    wave[5000:9000] = 0  # digital silence is where an absolute floor would distort
    one, other = extract(wave, "near"), extract(wave * np.float32(gain), "near")
    assert one.shape == (256,) and one.dtype == np.float32
    np.testing.assert_allclose(other[:128] - one[:128], 2 * np.log(gain), atol=2e-3)
    np.testing.assert_allclose(other[128:], one[128:], atol=2e-3)


def test_logmel_of_a_tone_peaks_in_its_band(wave):
    tone = np.sin(2 * np.pi * 1000 * np.arange(32000) / 16000).astype(np.float32)
    extract = logmel.extractor(**CONFIG["features"]["logmel"])
    features = extract(np.stack([tone, wave[:, 1]], axis=1), "near")
    # Slaney: 1 kHz is mel 15 of 45.25, so band 15 / (45.25 / 129) - 1
    assert abs(features[:128].argmax() - 41.8) < 1
    assert not np.allclose(features, extract(np.stack([tone, wave[:, 1]], axis=1), "far"))


@pytest.mark.parametrize(("mels", "n_fft", "hop", "frames"), [(128, 1024, 512, 64000), (64, 512, 200, 9001)])
def test_mel_power_is_torchaudio_s(mels, n_fft, hop, frames):
    import torch
    from torchaudio.transforms import MelSpectrogram

    samples = np.random.default_rng(2).normal(0, 0.1, frames).astype(np.float32)
    theirs = MelSpectrogram(16000, n_fft, hop_length=hop, n_mels=mels, power=2.0, mel_scale="slaney")
    bank = mel.mel_bank(mels, n_fft)
    np.testing.assert_allclose(bank, theirs.mel_scale.fb.numpy(), atol=3e-5)  # float32 all through
    ours = mel.mel_power(samples, bank, hop)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs(torch.from_numpy(samples)).numpy(), rtol=1e-4)


def both(near):
    return np.stack([near, near], axis=1).astype(np.float32)


def spectrum_of(near):
    return spectrum.extractor(**CONFIG["features"]["spectrum"])(both(near), "near")


def modulation_of(near):
    """By mel band and rate."""
    settings = CONFIG["features"]["modulation"]
    return modulation.extractor(**settings)(both(near), "near").reshape(settings["mels"], settings["rates"])


def swinging(hertz, seconds=4, depth=0.5, seed=0):
    """White noise that swings so many times a second."""
    time = np.arange(seconds * 16000) / 16000
    noise = np.random.default_rng(seed).normal(0, 0.1, len(time))
    return noise * (1 + depth * np.sin(2 * np.pi * hertz * time))


@pytest.mark.parametrize("gain", [1e-3, 30])
def test_a_gain_shifts_the_spectrum_and_leaves_the_modulation(wave, gain):
    near = wave[:, 0]
    one, other = spectrum_of(near), spectrum_of(gain * near)
    assert one.shape == (256,) and one.dtype == np.float32
    np.testing.assert_allclose(other - one, 2 * np.log(gain), atol=2e-3)
    np.testing.assert_allclose(modulation_of(gain * near), modulation_of(near), atol=2e-3)


def test_the_spectrum_tells_tones_apart_that_the_logmel_takes_for_one():
    time, noise = np.arange(64000) / 16000, np.random.default_rng(0).normal(0, 1e-3, 64000)
    near = np.sin(2 * np.pi * 500 * time) + np.sin(2 * np.pi * 530 * time) + noise
    means = logmel.extractor(**CONFIG["features"]["logmel"])(both(near), "near")[:128]
    for levels, expected in ((spectrum_of(near), 2), (means, 1)):
        peaks = (levels[1:-1] > levels[:-2]) & (levels[1:-1] > levels[2:]) & (levels[1:-1] > levels.max() - 3)
        assert peaks.sum() == expected


@pytest.mark.parametrize(("hertz", "rate"), [(0.8, 1), (4, 6), (12, 9), (25, 11)])
def test_a_swing_is_found_at_its_rate_and_by_its_depth(hertz, rate):
    found, deeper = modulation_of(swinging(hertz)), modulation_of(swinging(hertz, depth=0.8))
    still = modulation_of(swinging(hertz, depth=0))
    assert (found - still).mean(axis=0).argmax() == rate
    assert (deeper > found)[:, rate].mean() > 0.9


def test_modulation_does_not_depend_on_how_long_a_clip_is():
    short, long = (np.mean([modulation_of(swinging(6, s, seed=i)) for i in range(4)], axis=(0, 1)) for s in (4, 12))
    still = np.arange(12) != 7  # a steady swing is a line, and narrower in a longer clip
    np.testing.assert_allclose(short[still], long[still], rtol=0.1)


@pytest.mark.parametrize("frames", [1024, 5000, 8191])
def test_spectrum_and_modulation_of_a_short_clip_are_finite(frames):
    near = np.random.default_rng(0).normal(0, 0.1, frames)
    assert np.isfinite(spectrum_of(near)).all() and np.isfinite(modulation_of(near)).all()
    assert modulation_of(near).shape == (64, 12)


def test_swings_slower_than_none_are_refused():
    with pytest.raises(NearfarError, match="slowest: windows each 256 samples show swings below 31.25 Hz, not 40 Hz"):
        modulation.extractor(**CONFIG["features"]["modulation"] | {"slowest": 40.0})


def test_features_refuse_channels_and_clips_they_cannot_hear(wave):
    with pytest.raises(NearfarError, match="logmel/pair"):
        logmel.extractor(**CONFIG["features"]["logmel"])(wave, "pair")
    for module in (spectrum, modulation):
        with pytest.raises(NearfarError, match="signal: 'pair'"):
            module.extractor(**CONFIG["features"][module.__name__.split(".")[-1]])(wave, "pair")
    with pytest.raises(NearfarError, match="rtf/near"):
        rtf.extractor(**CONFIG["features"]["rtf"])(wave, "near")
    for module, channel in ((logmel, "far"), (rtf, "pair")):
        with pytest.raises(NearfarError, match="shorter than n_fft"):
            module.extractor(**CONFIG["features"][module.__name__.split(".")[-1]])(wave[:1000], channel)


@pytest.mark.parametrize("gain", [1e-3, 30])
def test_rtf_ignores_a_gain_on_both_channels(wave, gain):
    extract = rtf.extractor(**CONFIG["features"]["rtf"])
    one, other = extract(wave, "pair"), extract(wave * np.float32(gain), "pair")
    assert one.shape == (192,) and one.dtype == np.float32
    np.testing.assert_allclose(other, one, atol=1e-4)


def test_rtf_of_a_gain_is_its_logarithm():
    magnitude, cosine, sine = np.split(rtf.extractor(**CONFIG["features"]["rtf"])(delayed(0, 0.5), "pair"), 3)
    np.testing.assert_allclose(magnitude, np.log(0.5), atol=1e-4)
    np.testing.assert_allclose(cosine, 1, atol=1e-4)
    np.testing.assert_allclose(sine, 0, atol=1e-4)


def test_rtf_of_a_delay_is_the_mean_phasor_of_each_band():
    edges = rtf.mel_edges(64, 1024)
    phasor = np.exp(-2j * np.pi * np.arange(513) * 6 / 1024)
    expected = 0.5 * np.array([phasor[a:b].mean() for a, b in zip(edges[:-1], edges[1:], strict=True)])
    magnitude, cosine, sine = np.split(rtf.extractor(**CONFIG["features"]["rtf"])(delayed(6, 0.5), "pair"), 3)
    np.testing.assert_allclose(magnitude, np.log(np.abs(expected)), atol=0.1)
    np.testing.assert_allclose(cosine + 1j * sine, expected / np.abs(expected), atol=0.1)


def test_rtf_points_from_near_to_far():
    swapped = rtf.extractor(**CONFIG["features"]["rtf"])(delayed(0, 0.5)[:, ::-1], "pair")
    np.testing.assert_allclose(swapped[:64], np.log(2), atol=1e-4)


def test_rtf_of_an_empty_far_channel_is_finite():
    wave = delayed(0, 0)
    assert np.isfinite(rtf.extractor(**CONFIG["features"]["rtf"])(wave, "pair")).all()


@pytest.mark.parametrize(("bands", "n_fft"), [(64, 1024), (128, 1024), (40, 512), (500, 1024)])
def test_mel_edges_cover_all_bins_but_dc(bands, n_fft):
    edges = rtf.mel_edges(bands, n_fft)
    assert len(edges) == bands + 1 and edges[0] == 1 and edges[-1] == n_fft // 2 + 1
    assert (np.diff(edges) >= 1).all()


def test_too_many_bands_are_refused():
    with pytest.raises(NearfarError, match="bands: 600"):
        rtf.mel_edges(600, 1024)


def test_modules_without_a_network_do_not_import_torch():
    modules = "features.rtf", "features.logmel", "features.spectrum", "features.modulation", "features.extraction"
    modules += "classifier.inputs", "learning.sampling"
    code = f"import sys, {', '.join(f'nearfar.{name}' for name in modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
