import numpy as np
import pytest
import soundfile
import torch
from conftest import CONFIG

from nearfar.data.audio import read_clip
from nearfar.errors import NearfarError
from nearfar.features.rtf import mel_edges
from nearfar.jobs.files import write_arrays
from nearfar.lccr.maps import clip_maps, windows, write_maps
from nearfar.lccr.network import Network, embed, load, train
from nearfar.learning.networks import save_network

LCCR = CONFIG["features"]["lccr"]
MAPS = LCCR["maps"]
SMALL = LCCR["train"] | {"epochs": 4, "batch": 16, "crop": 24, "seed": 0, "device": "cpu"}


def clip(seed, frames=16000, delay=0, gain=0.5):
    noise = np.random.default_rng(seed).standard_normal(frames + delay).astype(np.float32) * 0.1
    return np.stack([noise[delay:], gain * noise[: len(noise) - delay]], axis=1)


@pytest.fixture(scope="module")
def training():
    """Two classes on one machine, told apart by the delay between the channels; a few target clips."""
    classes = np.array(["m/a", "m/b"] * 24)
    waves = [clip(n, delay=2 if name == "m/a" else 9) for n, name in enumerate(classes)]
    domains = np.array(["source"] * 40 + ["target"] * 8)
    return [clip_maps(w, **MAPS) for w in waves], classes, domains, np.array(["m"] * 48)


@pytest.fixture(scope="module")
def trained(training):
    return train(*training, **SMALL)


def weights(network):
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("gain", [1e-3, 8])
def test_maps_ignore_a_gain_on_both_channels(gain):
    wave = clip(0, delay=3)
    one, other = clip_maps(wave, **MAPS), clip_maps(wave * np.float32(gain), **MAPS)
    assert one.shape == (5, 64, 30) and one.dtype == np.float16
    np.testing.assert_allclose(other[[0, 3, 4]], one[[0, 3, 4]], atol=5e-3)
    np.testing.assert_allclose(other[1:3], one[1:3], atol=5e-3)


def test_maps_of_a_gain_between_channels():
    ild, cosine, sine, near, far = clip_maps(clip(0, gain=0.1), **MAPS).astype(float)
    np.testing.assert_allclose(ild, 2, atol=0.01)  # a tenth of the amplitude is two bels less
    np.testing.assert_allclose(cosine, 1, atol=1e-3)
    np.testing.assert_allclose(sine, 0, atol=1e-2)
    np.testing.assert_allclose(near, far, atol=0.01)
    assert abs(near.mean()) < 1e-2


def test_ipd_of_a_delay_has_the_sign_of_near_before_far():
    _, cosine, sine, _, _ = clip_maps(clip(0, delay=4), **MAPS).astype(float)
    edges = mel_edges(64, 1024)
    for band in (13, 25, 31):
        middle = 2 * np.pi * 4 * (edges[band] + edges[band + 1] - 1) / 2 / 1024
        assert np.median(cosine[band]) == pytest.approx(np.cos(middle), abs=0.1)
        assert np.median(sine[band]) == pytest.approx(np.sin(middle), abs=0.1)
    np.testing.assert_allclose(cosine**2 + sine**2, 1, atol=5e-3)


def test_network_is_of_the_size_the_paper_gives():
    assert 0.11e6 < sum(p.numel() for p in Network(64).parameters()) < 0.15e6


@pytest.mark.parametrize("length", [1, 17, 124, 499])
def test_network_takes_clips_of_any_length(length):
    vector = next(embed(Network(64).eval(), [np.ones((5, 64, length), np.float16)]))
    assert vector.shape == (128,) and vector.dtype == np.float32 and np.isfinite(vector).all()


def test_training_lowers_the_loss_and_separates_classes(training, trained):
    network, log = trained
    maps, classes, _, _ = training
    assert [row["epoch"] for row in log] == [0, 1, 2, 3] and log[-1]["loss"] < log[0]["loss"]
    assert log[0]["loss"] == pytest.approx(log[0]["supcon"] + 0.5 * log[0]["alignment"], rel=1e-5)
    fresh = [clip_maps(clip(1000 + n, delay=(2, 9)[n % 2]), **MAPS) for n in range(10)]
    vectors = np.stack(list(embed(network, [*maps, *fresh])))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    means = np.stack([vectors[:48][classes == name].mean(0) for name in ("m/a", "m/b")])
    assert (np.argmax(vectors[48:] @ means.T, axis=1) == np.arange(10) % 2).all()


def test_training_gives_the_same_bytes_and_leaves_the_global_generators(training, trained):
    torch.manual_seed(7)
    np.random.seed(7)
    before, words, threads = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
    again, log = train(*training, **SMALL)
    assert torch.equal(torch.get_rng_state(), before) and np.array_equal(np.random.get_state()[1], words)
    assert torch.get_num_threads() == threads
    assert weights(again) == weights(trained[0]) and log == trained[1]


def test_another_seed_gives_another_network(training, trained):
    other, _ = train(*training, **SMALL | {"epochs": 1, "seed": 1})
    first, _ = train(*training, **SMALL | {"epochs": 1})
    assert weights(other) != weights(first)


def test_clips_of_different_lengths_train_together(training):
    maps, *labels = training
    mixed = [m[:, :, : 30 - 10 * (n % 2)] for n, m in enumerate(maps)]
    train(mixed, *labels, **SMALL | {"epochs": 1})


def test_a_loss_that_is_not_finite_is_refused(training):
    maps, *labels = training
    broken = [np.full_like(m, np.nan) for m in maps]
    with pytest.raises(NearfarError, match="epoch 0; lower lr"):
        train(broken, *labels, **SMALL)


def test_network_survives_the_file(tmp_path, training, trained):
    file = tmp_path / "lccr.safetensors"
    save_network(trained[0], MAPS | {"hop": 256}, file)
    loaded, params = load(file)
    assert params == {"mels": 64, "n_fft": 1024, "hop": 256}
    assert weights(loaded) == weights(trained[0])
    one, other = (next(embed(n, training[0])) for n in (loaded, trained[0]))
    np.testing.assert_array_equal(one, other)


def test_files_that_are_not_a_network_are_refused(tmp_path, trained):
    missing, text, partial = (tmp_path / name for name in ("missing", "text", "partial"))
    text.write_text("not a network")
    state = {k: v.numpy() for k, v in trained[0].state_dict().items()}
    state.pop("head.bias")
    write_arrays(partial, state, params={"mels": 64})
    for file in (missing, text, partial):
        with pytest.raises(NearfarError, match=f"{file.name}: not a LCCR network.*train it again"):
            load(file)


def test_map_files_hold_the_clips_in_the_order_given(tmp_path):
    paths = [tmp_path / name for name in ("b.wav", "a.wav", "c.wav")]
    for seed, (path, frames) in enumerate(zip(paths, (16000, 24000, 16000), strict=True)):
        soundfile.write(path, clip(seed, frames), 16000, subtype="PCM_16")
    out = tmp_path / "m.npy"
    write_maps(paths, out, **MAPS)
    rows = np.load(out)
    assert rows.shape == (3, 5, 64, 45) and rows.dtype == np.float16
    expected = [clip_maps(read_clip(path), **MAPS) for path in paths]
    np.testing.assert_array_equal(rows[1], expected[1])
    for row, whole in ((rows[0], expected[0]), (rows[2], expected[2])):
        np.testing.assert_array_equal(row[:, :, :30], whole)
        np.testing.assert_array_equal(row[:, :, 30:], whole[:, :, :15])  # begins anew
    assert [windows(frames, n_fft=1024, hop=512) for frames in (16000, 24000)] == [30, 45]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "b.wav", "c.wav", "m.npy"]


def test_a_broken_clip_is_named_and_leaves_no_map_file(tmp_path):
    soundfile.write(tmp_path / "short.wav", clip(0, 500), 16000)
    with pytest.raises(NearfarError, match=r"short\.wav: .*shorter than n_fft"):
        write_maps([tmp_path / "short.wav"], tmp_path / "m.npy", **MAPS)
    assert not list(tmp_path.glob("*npy*"))


@pytest.mark.gpu
def test_a_gpu_learns_and_embeds_as_the_cpu_does_and_repeats_itself(cuda, training, trained, tmp_path):
    (network, log), (again, _) = (train(*training, **SMALL | {"device": cuda}) for _ in range(2))
    assert next(network.parameters()).device.type == cuda
    assert log[0]["loss"] == pytest.approx(trained[1][0]["loss"], rel=0.02)
    vectors = np.stack([*embed(network, training[0])])
    np.testing.assert_array_equal(vectors, np.stack([*embed(again, training[0])]))
    save_network(network, MAPS, tmp_path / "model.safetensors")
    on_cpu = np.stack([*embed(load(tmp_path / "model.safetensors")[0], training[0])])
    np.testing.assert_allclose(vectors, on_cpu, atol=1e-4 * np.abs(on_cpu).max())
