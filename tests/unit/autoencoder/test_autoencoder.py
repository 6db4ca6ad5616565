"""The official baseline: front end, network, training, and both scores, also from file to file."""

import numpy as np
import pytest
import soundfile
import torch
from conftest import CONFIG, noise, params_of, write_clips, write_machine

from nearfar.autoencoder.frames import Frames, frame_count, log_mel, read_frames, window_starts, windows
from nearfar.autoencoder.network import Network, load, residuals_of, save, train
from nearfar.autoencoder.residuals import clip_scores, score_clips, train_autoencoder, whitening
from nearfar.data.clips import read_clips
from nearfar.detectors.crossfit import CrossFit
from nearfar.detectors.detection import detect_machine
from nearfar.detectors.methods.reconstruction import Detector
from nearfar.detectors.normalization import normalize
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_table, read_vectors, write_table, write_vectors
from nearfar.seeds import seed_for

SETTINGS = {key: CONFIG["features"]["autoencoder"][key] for key in ("epochs", "batch", "lr", "held_out")}
SETTINGS |= {"epochs": 4, "batch": 64}
SMALL = SETTINGS | {"seed": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def frames():
    counts = [30, 4, 25, 40] * 5  # a clip of four frames would have no window
    mels = torch.randn(sum(counts), 128, generator=torch.Generator().manual_seed(0)) * 5 - 40
    firsts = np.cumsum([0, *counts[:-1]])
    starts = [int(first) + window_starts(count) for first, count in zip(firsts, counts, strict=True)]
    return Frames(mels, torch.cat(starts), np.repeat(np.arange(20), [len(part) for part in starts]))


@pytest.fixture(scope="module")
def trained(frames):
    return train(frames, **SMALL)


def weights(network):
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


def slaney(mel):
    """Hz of mels on Slaney's scale: linear to 1 kHz at mel 15, then a factor 6.4 every 27 mels."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def test_log_mel_is_the_formula():
    wave = noise(("front",), 1.0)[:, 0].astype(np.float32)
    padded = np.pad(wave.astype(float), 512, mode="reflect")
    hann = np.sin(np.pi * np.arange(1024) / 1024) ** 2
    power = np.array([np.abs(np.fft.rfft(padded[i : i + 1024] * hann)) ** 2 for i in range(0, len(wave) + 1, 512)])
    edges = slaney(np.linspace(0, 15 + 27 * np.log(8) / np.log(6.4), 130))
    bins = np.arange(513) * 16000 / 1024
    filters = [
        np.interp(bins, edges[k : k + 3], [0, 2 / (edges[k + 2] - edges[k]), 0], left=0, right=0) for k in range(128)
    ]
    expected = 10 * np.log10(power @ np.array(filters).T)
    np.testing.assert_allclose(log_mel(wave).numpy(), expected, atol=0.01)
    assert len(expected) == frame_count(len(wave)) == 32


def test_windows_hold_five_frames_of_one_clip(frames):
    assert len(frames.starts) == 5 * (26 + 0 + 21 + 36) and len(frames.clips) == len(frames.starts)
    row = windows(frames.mels, frames.starts[26:27])[0]  # the first of the third clip
    assert torch.equal(row, frames.mels[34:39].flatten()) and frames.clips[26] == 2


def test_network_is_as_described():
    network = Network()
    widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    linear = sum(a * b + b for a, b in zip(widths, widths[1:], strict=False))
    assert sum(p.numel() for p in network.parameters()) == linear + 2 * sum(widths[1:-1]) == 267928
    assert [type(layer).__name__ for layer in network] == ["Linear", "BatchNorm1d", "ReLU"] * 9 + ["Linear"]
    assert all((layer.momentum, layer.eps) == (0.01, 1e-3) for layer in list(network)[1::3])


def test_training_lowers_the_loss_to_the_same_bytes_and_leaves_the_global_generator(frames, trained):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    network, log = train(frames, **SMALL)
    assert torch.equal(torch.get_rng_state(), before)
    assert weights(network) == weights(trained[0]) and log == trained[1]
    assert [row["epoch"] for row in log] == [0, 1, 2, 3] and log[-1]["loss"] < log[0]["loss"]
    other, _ = train(frames, **SMALL | {"seed": 1})
    assert weights(other) != weights(network)


def test_a_single_window_left_over_is_no_batch(frames):
    train(frames._replace(starts=frames.starts[:20]), **SMALL | {"batch": 17, "epochs": 1})


def test_a_loss_that_is_not_finite_is_refused(frames):
    with pytest.raises(NearfarError, match=r"features.autoencoder.lr: .* lower lr"):
        train(frames._replace(mels=frames.mels * torch.inf), **SMALL)


def test_selective_mahalanobis_by_hand():
    """Covariances diag(4, 1) and diag(1, 9) of the residuals, whose means are not taken off the clip's."""
    square = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]) * np.sqrt(3 / 4)  # covariance 1, by n - 1
    ways = {
        "source": whitening([square[:2] * (2, 1) + 5, square[2:] * (2, 1) + 5], singular="refuse"),
        "target": whitening([square * (1, 3)], singular="refuse"),
    }
    np.testing.assert_allclose(ways["source"].T @ ways["source"], np.diag([1 / 4, 1]), atol=1e-12)
    clip = np.array([[5.0, 0], [1, 6]])  # mean (3, 3): 9/4 + 9 and 9 + 9/9
    view = np.stack([clip_scores(clip, ways)] * 2).astype(np.float32)
    np.testing.assert_allclose(view[0], [(25 + 1 + 36) / 4, 11.25, 10], rtol=1e-6)
    assert Detector(distance="mse").score(view)[0] == 15.5
    np.testing.assert_allclose(Detector(distance="mahalanobis").score(view)[0], [11.25, 10], rtol=1e-6)


def test_the_normalized_score_ranks_as_the_smaller_distance():
    rng = np.random.default_rng(0)
    train, test = (Detector(distance="mahalanobis").score(rng.chisquare(4, (n, 3))) for n in (40, 30))
    domain = np.array(["source"] * 30 + ["target"] * 10)
    _, normalized = normalize(train, test, domain, pseudo_clips=5, reference="nearest")
    assert (np.argsort(normalized) == np.argsort(test.min(axis=1))).all()


def test_a_covariance_without_inverse_is_refused_or_kept_in_its_span():
    residuals = np.random.default_rng(0).standard_normal((9, 20))
    with pytest.raises(NearfarError, match=r"9 training frames span 8 of 20 .*singular to pseudo_inverse"):
        whitening([residuals], singular="refuse")
    way = whitening([residuals], singular="pseudo_inverse")
    np.testing.assert_allclose(way.T @ way, np.linalg.pinv(np.cov(residuals.T)), rtol=1e-6, atol=1e-8)


def test_the_detector_refuses_another_view():
    with pytest.raises(NearfarError, match="autoencoder/near, not 256 columns"):
        Detector(distance="mse").fit(np.zeros((4, 256)), domain=None)
    with pytest.raises(NearfarError, match="params.distance: 'l1'"):
        Detector(distance="l1")


def train_machine(folder, **kwargs):
    """Train on folder/m and return the paths of the clip tables and of the model."""
    clips, model = write_clips("m", folder / "m", folder), folder / "model.safetensors"
    given = {
        "machine": "m",
        "settings": SETTINGS,
        "singular": "pseudo_inverse",
        "few": "refuse",
        "seed": 0,
        "device": "cpu",
    }
    train_autoencoder(clips[0], model, folder / "log.parquet", **given | kwargs)
    return clips, model


def test_a_clip_is_scored_by_itself(tmp_path):
    write_machine(tmp_path, "m")
    long = next((tmp_path / "m/train").glob("*source*"))
    soundfile.write(long, noise(("long",), 0.9), 16000, subtype="PCM_16")  # clips of one machine may differ in length
    clips, model = train_machine(tmp_path)
    score_clips(clips, model, tmp_path / "near.parquet", device="cpu", made="a")
    files, scores = read_vectors(tmp_path / "near.parquet")
    assert list(files) == list(read_clips(clips)["file"]) and scores.shape == (20, 3) and np.isfinite(scores).all()
    assert len(read_table(tmp_path / "log.parquet")["loss"]) == 4
    table = read_clips(clips)
    kept = [19, 3, 7]  # fewer clips, in another order
    network, ways = load(model)
    for row in kept:
        wave, _ = soundfile.read(table["path"][row], dtype="float32")
        mels = log_mel(wave[:, 0])
        (residual,) = residuals_of(network, mels, window_starts(len(mels)))
        np.testing.assert_array_equal(clip_scores(residual, ways).astype(np.float32), scores[row])
    one, again = model.read_bytes(), train_machine(tmp_path)[1].read_bytes()
    assert one == again


def test_bad_inputs_are_named(tmp_path):
    write_machine(tmp_path, "m")
    with pytest.raises(NearfarError, match="m, source domain: its 96 training frames span .* of 640"):
        train_machine(tmp_path, singular="refuse")
    short = next((tmp_path / "m/train").glob("*target*"))
    soundfile.write(short, noise(("short",), 2047 / 16000), 16000, subtype="PCM_16")
    with pytest.raises(NearfarError, match=f"{short.name}: clip of 2047 samples has no 5 frames"):
        train_machine(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("method", "params"), [("reconstruction", {"distance": "mahalanobis"}), ("mahalanobis", params_of("mahalanobis"))]
)
@pytest.mark.parametrize("folds", [1, 2])
def test_fits_with_and_without_a_learned_state_survive_the_file(tmp_path, method, params, folds):
    write_machine(tmp_path, "m")
    clips = write_clips("m", tmp_path / "m", tmp_path)
    table = read_clips(clips)
    vectors = np.random.default_rng(0).chisquare(4, (20, 3)).astype(np.float32)
    write_vectors(tmp_path / "view.parquet", table["file"], vectors)
    given = clips, [tmp_path / "view.parquet"]
    made = {name: tmp_path / name for name in ("fits", "scores", "normalized")}
    about = {
        "machine": "m",
        "detector": "d",
        "method": method,
        "params": params,
        "folds": folds,
        "few": "refuse",
        "seed": 0,
        "made": "a",
    }
    detect_machine(*given, made, **about, normalization={"pseudo_clips": 5, "reference": "nearest"})
    train = table["split"] == "train"
    own = CrossFit(method, params, folds, seed_for(0, "m"))
    own.fit(table["file"][train], table["domain"][train], [vectors[train]])
    scores = read_table(made["scores"])
    unseen = np.stack([scores["source"], scores["target"]], axis=1)[~train]
    np.testing.assert_array_equal(unseen, own.score([vectors[~train]]))
    np.testing.assert_allclose(unseen, CrossFit.read(made["fits"]).score([vectors[~train]]), rtol=1e-6)


def test_files_that_are_not_an_autoencoder_are_refused(tmp_path, trained):
    missing, text, partial = (tmp_path / name for name in ("missing", "text", "partial"))
    text.write_text("not a network")
    save(trained[0], {}, partial)
    for file in (missing, text, partial):
        with pytest.raises(NearfarError, match=f"{file.name}: not an autoencoder.*train it again"):
            load(file)


def test_frames_of_files_keep_their_order(tmp_path):
    paths = [tmp_path / name for name in ("b.wav", "a.wav")]
    for path, seconds in zip(paths, (0.5, 0.3), strict=True):
        soundfile.write(path, noise((path.name,), seconds), 16000, subtype="PCM_16")
    got = read_frames(paths, [8000, 4800])
    assert got.mels.shape == (16 + 10, 128) and list(got.clips) == [0] * 12 + [1] * 6
    assert torch.equal(got.mels[16:], log_mel(torch.tensor(soundfile.read(paths[1], dtype="float32")[0][:, 0])))
    assert list(got.starts) == [*range(12), *range(16, 22)]


def test_an_absent_device_is_refused(frames, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    save(Network(), {domain: np.eye(640) for domain in ("source", "target")}, tmp_path / "model")
    for call in (
        lambda: train(frames, **SMALL | {"device": "cuda"}),
        lambda: score_clips([], tmp_path / "model", tmp_path / "near", device="cuda", made=""),
    ):
        with pytest.raises(NearfarError, match="device: 'cuda' is not to be had here; set it to 'cpu'"):
            call()


@pytest.mark.gpu
def test_a_gpu_learns_as_the_cpu_does_and_repeats_itself(cuda, frames, trained):
    (network, log), (again, _) = (train(frames, **SMALL | {"device": cuda}) for _ in range(2))
    assert next(network.parameters()).device.type == cuda and weights(network.cpu()) == weights(again.cpu())
    assert [row["loss"] for row in log] == pytest.approx([row["loss"] for row in trained[1]], rel=0.02)


def test_a_machine_of_one_domain_has_one_whitening(tmp_path):
    write_machine(tmp_path, "m")
    clips = write_clips("m", tmp_path / "m", tmp_path)
    for path in clips:
        table = read_table(path)
        write_table(path, table | {"domain": np.full(len(table["file"]), "source", object)})
    model = tmp_path / "model.safetensors"
    given = {
        "machine": "m",
        "settings": SETTINGS,
        "singular": "pseudo_inverse",
        "few": "refuse",
        "seed": 0,
        "device": "cpu",
    }
    train_autoencoder(clips[0], model, tmp_path / "log.parquet", **given)
    assert list(load(model)[1]) == ["source"]
    score_clips(clips, model, tmp_path / "near.parquet", device="cpu", made="a")
    vectors = read_vectors(tmp_path / "near.parquet")[1]
    assert vectors.shape == (20, 2) and np.isfinite(vectors).all()


def test_few_clips_take_the_pseudo_inverse_with_a_word(tmp_path, capsys):
    write_machine(tmp_path, "m")
    model = train_machine(tmp_path, singular="refuse", few="cap")[1]
    assert all(len(way) < 640 for way in load(model)[1].values())
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("nearfar: ")]
    assert [line.split(" span ")[0] for line in lines] == [
        "nearfar: m, source domain: its 96 training frames",
        "nearfar: m, target domain: its 48 training frames",
    ]
