"""The classifier on planted classes, from inputs to embeddings, in memory and from file to file."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CONFIG, ROOT, write_clips, write_machine

from nearfar.classifier import files, network
from nearfar.classifier.files import embed_classifier, seen_by, train_fold
from nearfar.classifier.inputs import extractor, read_inputs, windows, write_inputs
from nearfar.classifier.network import Network, Settings, embed, load, plan, train
from nearfar.data.audio import read_clip
from nearfar.data.clips import read_clips
from nearfar.data.signals import residual
from nearfar.detectors.folds import fold_of
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_table, read_vectors, write_arrays, write_table
from nearfar.learning.networks import save_network
from nearfar.seeds import seed_for

FEATURE = CONFIG["features"]["classifier"]
SMALL = FEATURE["inputs"] | {"mels": 32, "bands": 256}
SHORT = Settings(**FEATURE["train"] | {"epochs": 3, "batch": 8, "crop": 16})
NAMES = ("clips", "classes", "images", "spectra")


def planted(clips=36, lengths=(24, 40)):
    """Three classes, a line of the spectrum and a beat of the log-mel each; clips of several lengths."""
    random, pairs = np.random.default_rng(0), []
    for number in range(clips):
        kind, length = number % 3, lengths[number % len(lengths)]
        image, spectrum = random.normal(0, 0.3, (32, length)), random.normal(0, 0.3, 256)
        image[:, :: 4 + 3 * kind] += 2
        spectrum[60 * kind : 60 * kind + 5] += 3
        pairs.append((image.astype(np.float16), spectrum.astype(np.float16)))
    return pairs, np.array([f"m/{number % 3}" for number in range(clips)])


def learn(settings=SHORT, seed=0, device="cpu", **more):
    return train(*planted(), settings, seed=seed, device=device, **more)


def breaking(call, after):
    """``call`` that is interrupted once it was made ``after`` times."""
    left = iter(range(after))

    def made(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return call(*arguments)

    return made


@pytest.fixture(scope="module")
def trained():
    return learn()


def weights(one):
    return {name: value.cpu().numpy().tobytes() for name, value in one.state_dict().items()}


def tone(frames, hertz=1000.0, gain=0.1):
    time = np.arange(frames) / 16000
    noise = np.random.default_rng(0).standard_normal(frames)
    return (gain * (np.sin(2 * np.pi * hertz * time) + 0.01 * noise)).astype(np.float32)


@pytest.mark.parametrize("seconds", [1, 4, 6, 10, 16])
def test_clips_of_any_length_have_a_spectrum_of_one_size_and_an_image_of_their_own(seconds):
    image, spectrum = extractor(**FEATURE["inputs"])(tone(16000 * seconds))
    assert image.shape == (128, windows(16000 * seconds, 512)) and spectrum.shape == (4000,)
    assert image.dtype == spectrum.dtype == np.float16
    assert spectrum.argmax() in (499, 500)  # 2 Hz a band
    np.testing.assert_allclose(image.astype(float).mean(1), 0, atol=2e-3)


def test_a_gain_moves_the_spectrum_alone_and_by_its_bels():
    one, other = (extractor(**FEATURE["inputs"])(tone(32000, gain=gain)) for gain in (0.1, 0.01))
    np.testing.assert_allclose(other[0].astype(float), one[0].astype(float), atol=5e-3)
    np.testing.assert_allclose(other[1].astype(float), one[1].astype(float) - 2, atol=5e-3)


def test_a_clip_shorter_than_a_window_is_refused():
    with pytest.raises(NearfarError, match="^clip of 1000 frames, shorter than n_fft 1024; remove it$"):
        extractor(**FEATURE["inputs"])(tone(1000))


@pytest.mark.parametrize("shape", [(32, 256, 1), (128, 4000, 313), (64, 999, 40)])
def test_network_takes_any_sizes_and_gives_unit_length(shape):
    mels, bands, length = shape
    ((vector,),) = embed(
        [Network(mels, bands).eval()], [(np.ones((mels, length), np.float16), np.ones(bands, np.float16))]
    )
    assert vector.shape == (256,) and np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("balanced", [False, True])
def test_a_balanced_epoch_draws_every_class_as_often(balanced):
    labels = np.array([0] * 300 + [1] * 100)
    steps = plan(labels, 32, balanced, np.random.default_rng(0))
    assert len(steps) == 13 and {len(rows) for rows in steps} == {30, 31}
    rows = np.concatenate(steps)
    if balanced:
        assert np.bincount(labels[rows]).min() == pytest.approx(200, abs=30)
    else:
        assert sorted(rows) == list(range(400))


def test_training_lowers_the_loss_and_gathers_the_classes():
    fitted, log = learn(replace(SHORT, epochs=6, lr=5e-3, mixup=0.0))
    assert [row["epoch"] for row in log] == list(range(6)) and log[-1]["loss"] < 0.6 * log[0]["loss"]
    pairs, classes = planted()
    vectors = np.concatenate(list(embed([fitted], pairs)))
    similarity, alike = vectors @ vectors.T, classes[:, None] == classes
    assert similarity[alike].mean() > similarity[~alike].mean() + 0.3


def test_same_seed_same_bytes_and_the_global_generators_are_left_alone(trained):
    before, words, threads = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
    again, log = learn()
    assert torch.equal(torch.get_rng_state(), before) and np.array_equal(np.random.get_state()[1], words)
    assert torch.get_num_threads() == threads
    assert weights(again) == weights(trained[0]) and log == trained[1]
    assert weights(learn(seed=1)[0]) != weights(trained[0])


def test_a_vector_does_not_depend_on_its_neighbours(trained):
    pairs, _ = planted()
    alone = next(embed([trained[0]], pairs[5:6]))
    np.testing.assert_array_equal(list(embed([trained[0]], pairs))[5], alone)


@pytest.mark.parametrize("mixup", [0.0, 1.0])
def test_mixup_may_be_left_out_and_is_something_else(trained, mixup):
    assert weights(learn(replace(SHORT, mixup=mixup))[0]) != weights(trained[0])


def test_a_single_class_is_refused():
    pairs, _ = planted()
    with pytest.raises(NearfarError, match="^features.classifier: all training clips are of the class m/1, so .*more"):
        train(pairs, ["m/1"] * len(pairs), SHORT, seed=0, device="cpu")


def test_a_loss_that_is_not_finite_is_refused():
    pairs, classes = planted()
    broken = [(np.full_like(image, np.nan), spectrum) for image, spectrum in pairs]
    with pytest.raises(NearfarError, match=r"features\.classifier\.train: the loss is nan in epoch 0; lower lr"):
        train(broken, classes, SHORT, seed=0, device="cpu")


def test_an_absent_device_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NearfarError, match="device: 'cuda' is not to be had here"):
        learn(device="cuda")


@pytest.mark.gpu
def test_a_gpu_learns_and_embeds_as_the_cpu_does_and_repeats_itself(cuda, tmp_path):
    (fitted, log), (again, _) = learn(device=cuda), learn(device=cuda)
    assert next(fitted.parameters()).device.type == cuda and weights(fitted) == weights(again)
    assert log[0]["loss"] == pytest.approx(learn()[1][0]["loss"], rel=0.02)
    save_network(fitted, SMALL, tmp_path / "model.safetensors")
    on_gpu, on_cpu = (
        np.stack(list(embed([one], planted()[0]))) for one in (fitted, load(tmp_path / "model.safetensors")[0])
    )
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-4)


@pytest.mark.gpu
def test_a_training_on_a_gpu_goes_on_to_the_same_bytes(cuda, tmp_path, monkeypatch):
    whole, log = learn(device=cuda)
    with monkeypatch.context() as patch:
        patch.setattr(network, "_epoch", breaking(network._epoch, after=2))
        with pytest.raises(KeyboardInterrupt):
            learn(device=cuda, state=tmp_path / "state")
    resumed, again = learn(device=cuda, state=tmp_path / "state")
    assert again == log and weights(resumed) == weights(whole)


def test_network_survives_the_file(tmp_path, trained):
    save_network(trained[0], SMALL, tmp_path / "model")
    loaded, params = load(tmp_path / "model")
    assert params == SMALL and weights(loaded) == weights(trained[0])


def test_a_file_of_half_the_size_hears_the_same(tmp_path, trained):
    """Layers in half precision; a norm's running sums, which may be beyond its range, and its shifts as they are."""
    for name, half in (("whole", False), ("half", True)):
        save_network(trained[0], SMALL, tmp_path / name, half=half)
    sizes = [(tmp_path / name).stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.56 * sizes[0]
    loaded, _ = load(tmp_path / "half")
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32, torch.int64}
    whole, half = (np.stack(list(embed([one], planted()[0]))) for one in (trained[0], loaded))
    np.testing.assert_allclose(half, whole, atol=2e-3)
    assert not np.array_equal(half, whole)


def test_files_that_are_not_a_network_are_refused(tmp_path, trained):
    missing, text, partial, other = (tmp_path / name for name in ("missing", "text", "partial", "other"))
    text.write_text("not a network")
    arrays = {name: value.numpy() for name, value in trained[0].state_dict().items()}
    write_arrays(other, arrays, params=SMALL | {"bands": 1024})
    arrays.pop("heads.0.bias")
    write_arrays(partial, arrays, params=SMALL)
    for file in (missing, text, partial, other):
        with pytest.raises(NearfarError, match=f"{file.name}: not a classifier of this version.*train it again"):
            load(file)


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    """Two machines on disk, whose clips differ in length, with tables, classes and inputs; a list of paths by name."""
    root = tmp_path_factory.mktemp("machines")
    paths = {name: [str(root / f"{machine}_{name}") for machine in ("alpha", "beta")] for name in NAMES[1:]}
    paths = {"clips": [], "test": []} | paths
    for row, (machine, seconds) in enumerate((("alpha", 0.5), ("beta", 0.7))):
        write_machine(root / "data", machine, source=10, target=4, test=1, seconds=seconds)
        for name, path in zip(("clips", "test"), write_clips(machine, root / "data" / machine, root), strict=True):
            paths[name].append(path)
        table, classes = read_clips(paths["clips"][row]), [f"{machine}/{n % 2}" for n in range(14)]
        write_table(paths["classes"][row], {"file": table["file"], "class": classes})
        write_inputs(table["path"], "near", paths["images"][row], paths["spectra"][row], **SMALL)
    return paths


def train_files(machines, folder, fold=0, state="state.pt"):
    settings = FEATURE["train"] | {"epochs": 3, "batch": 8, "crop": 16}
    made = [f"{folder}/{fold}.{kind}" for kind in ("safetensors", "parquet")]
    about = {
        "fold": fold,
        "folds": 2,
        "few": "refuse",
        "inputs": SMALL,
        "settings": settings,
        "seed": 0,
        "device": "cpu",
    }
    train_fold(*(machines[name] for name in NAMES), *made, **about, state=f"{folder}/{state}")
    return made[0]


def test_a_single_class_leaves_the_network_as_it_was_drawn_where_few_clips_are_allowed(machines, tmp_path, capsys):
    for few, word in (("refuse", "nothing to tell apart"), ("cap", "")):
        classes = [str(tmp_path / f"{number}.parquet") for number in range(len(machines["classes"]))]
        for path, table in zip(classes, map(read_table, machines["classes"]), strict=True):
            write_table(path, table | {"class": np.full(len(table["file"]), "pump/cluster_0", object)})
        made = [tmp_path / few, tmp_path / "log"]
        about = {
            "fold": 0,
            "folds": 3,
            "few": few,
            "inputs": SMALL,
            "settings": FEATURE["train"],
            "seed": 0,
            "device": "cpu",
        }
        given = machines | {"classes": classes}
        columns = (given[name] for name in NAMES)
        if word:
            with pytest.raises(NearfarError, match=word):
                train_fold(*columns, *made, **about, state=tmp_path / "state")
        else:
            train_fold(*columns, *made, **about, state=tmp_path / "state")
            assert "pump/cluster_0: the only class" in capsys.readouterr().err and load(made[0])[1] == SMALL


def test_inputs_are_of_the_clips_in_their_order_and_channel(machines, tmp_path):
    table = read_clips(machines["clips"][1])
    pairs = list(read_inputs(machines["clips"][1], machines["images"][1], machines["spectra"][1], 512))
    extract, wave = extractor(**SMALL), read_clip(table["path"][1])
    assert len(pairs) == len(table["file"]) and all(isinstance(image, np.memmap) for image, _ in pairs)
    np.testing.assert_array_equal(pairs[1][0], extract(wave[:, 0])[0])
    for channel, samples in (("far", wave[:, 1]), ("residual", residual(wave))):
        write_inputs(table["path"][:2], channel, tmp_path / "i", tmp_path / "s", **SMALL)
        for name, expected in zip("is", extract(samples), strict=True):
            np.testing.assert_array_equal(np.load(tmp_path / name)[1], expected)


def test_a_clip_keeps_its_own_windows_beside_a_longer_one(machines, tmp_path):
    paths = [read_clips(clips)["path"][0] for clips in machines["clips"]]  # 0.5 and 0.7 s
    write_inputs(paths, "near", tmp_path / "i", tmp_path / "s", **SMALL)
    write_table(tmp_path / "clips", {"file": ["a", "b"], "frames": [8000, 11200]})
    short, long = read_inputs(tmp_path / "clips", tmp_path / "i", tmp_path / "s", 512)
    assert short[0].shape == (32, 16) and long[0].shape == (32, 22)
    np.testing.assert_array_equal(short[0], extractor(**SMALL)(read_clip(paths[0])[:, 0])[0])


def test_inputs_of_another_clip_table_are_refused(machines, tmp_path):
    np.save(tmp_path / "few.npy", np.load(machines["images"][0])[:3])
    with pytest.raises(NearfarError, match=r"few\.npy: holds 3 clips, not 14; delete it and run again"):
        list(read_inputs(machines["clips"][0], tmp_path / "few.npy", machines["spectra"][0], 512))


def test_a_broken_clip_is_named_and_leaves_no_inputs(tmp_path):
    (tmp_path / "broken.wav").write_text("no sound")
    with pytest.raises(NearfarError, match=r"broken\.wav"):
        write_inputs([tmp_path / "broken.wav"], "near", tmp_path / "i", tmp_path / "s", **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.wav"]


@pytest.mark.parametrize("folds", [2, 3, 4])
def test_folds_are_those_of_the_detectors_and_each_training_clip_is_unseen_by_one(machines, folds):
    table = read_clips(machines["clips"][0])
    seen = [seen_by(table, fold, folds, seed=3) for fold in range(folds)]
    assert (np.bincount(np.concatenate(seen), minlength=14) == folds - 1).all()
    dealt = fold_of(table["file"], table["domain"], table["recording"], folds, seed_for(3, "alpha"))
    for fold, rows in enumerate(seen):
        assert set(rows) == set(np.flatnonzero(dealt != fold))


def test_more_folds_than_clips_of_a_domain_are_refused_naming_the_machine(machines):
    with pytest.raises(NearfarError, match=r"^alpha: features\.classifier: folds: 5 folds need as many target-domain"):
        seen_by(read_clips(machines["clips"][0]), 0, 5, seed=0)


def test_the_network_of_a_fold_is_given_no_clip_of_it(machines, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(files, "train", lambda pairs, *rest, **more: given.append(pairs) or train(pairs, *rest, **more))
    train_files(machines, tmp_path, fold=1)
    heard = {image.tobytes() for image, _ in given[0]}
    for clips, images in zip(machines["clips"], machines["images"], strict=True):
        table, array = read_clips(clips), np.load(images)
        rows = seen_by(table, 1, 2, seed=0)
        for row, count in enumerate(table["frames"]):
            assert (array[row, :, : windows(count, 512)].tobytes() in heard) == (row in rows)


def test_every_clip_has_an_embedding_a_fold(machines, tmp_path):
    models = [train_files(machines, tmp_path, fold) for fold in (0, 1)]
    clips = machines["clips"][0], machines["test"][0]
    embed_classifier(clips, models, tmp_path / "v.parquet", channel="near", device="cpu", made="a")
    known, vectors = read_vectors(tmp_path / "v.parquet")
    assert list(known) == list(read_clips(clips)["file"]) and vectors.shape == (18, 2, 256)
    seen = np.isin(known, read_clips(clips[0])["file"])
    for fold, model in enumerate(models):
        pairs = read_inputs(clips[0], machines["images"][0], machines["spectra"][0], 512)
        np.testing.assert_array_equal(vectors[seen, fold], np.concatenate(list(embed([load(model)[0]], pairs))))
    assert not np.allclose(vectors[:, 0], vectors[:, 1])


KILLED = """
import os, signal, sys
sys.path[:0] = [{scripts!r}, *{tests!r}]
from nearfar.classifier import network
from test_classifier import train_files
descend, steps = network.descend, []
def fatal(*given, **named):
    steps.append(1)
    if len(steps) == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return descend(*given, **named)
network.descend = fatal
train_files({machines!r}, {folder!r})
"""


@pytest.mark.slow
def test_killed_in_an_epoch_it_goes_on_to_the_same_bytes(machines, tmp_path, monkeypatch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    steps, descend = [], network.descend
    monkeypatch.setattr(network, "descend", lambda *given, **named: steps.append(1) or descend(*given, **named))
    train_files(machines, whole)
    total = len(steps)
    script = KILLED.format(
        scripts=str(ROOT / "src"),
        tests=[str(ROOT / "tests"), str(Path(__file__).parent)],
        step=total // 3 + 2,  # the second step of the second epoch
        machines=machines,
        folder=str(killed),
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL and [path.name for path in killed.iterdir()] == ["state.pt"]
    train_files(machines, killed)
    assert len(steps) == total + total * 2 // 3  # the first epoch was not trained again
    contents = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in (whole, killed)]
    assert contents[0] == contents[1] and set(contents[0]) == {"0.safetensors", "0.parquet"}
    assert read_table(killed / "0.parquet")["epoch"].tolist() == [0, 1, 2]


def test_a_state_goes_on_only_with_its_own_settings_seed_and_files(tmp_path, monkeypatch):
    state, file = tmp_path / "state.pt", tmp_path / "input"
    file.write_text("one")
    steps, descend = [], network.descend
    monkeypatch.setattr(network, "descend", lambda *given, **named: steps.append(1) or descend(*given, **named))

    def trained_anew(seed=0, **settings):
        learn(replace(SHORT, epochs=1, **settings), seed, state=state, files=[file])
        anew = bool(steps)
        steps.clear()
        return anew

    assert trained_anew() and not trained_anew()
    assert trained_anew(lr=1e-3) and trained_anew(seed=1)
    assert trained_anew() and not trained_anew()
    file.write_text("other")
    assert trained_anew()


@pytest.mark.parametrize("folds", [3, 5, 7])
def test_fewer_clips_of_a_domain_than_folds_are_dealt_as_far_as_they_go(machines, folds):
    table = read_clips(machines["clips"][0])  # ten source clips and four target clips
    seen = [seen_by(table, fold, folds, 3, "cap") for fold in range(folds)]
    assert (np.bincount(np.concatenate(seen), minlength=14) == folds - 1).all()
    table["domain"] = np.array(["source"] * 13 + ["target"], object)  # one alone is as the others
    dealt = fold_of(table["file"], np.full(14, "source"), table["file"], folds, seed_for(3, "alpha"))
    assert [set(seen_by(table, fold, folds, 3, "cap")) for fold in range(folds)] == [
        set(np.flatnonzero(dealt != fold)) for fold in range(folds)
    ]
