"""Adapter training on the small EAT. peft costs 7 s to import, so all but the killed training is in one process."""

import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CONFIG, ROOT, write_clips, write_machine
from safetensors.torch import load_file

from nearfar.adapter import training
from nearfar.adapter.files import train_adapter
from nearfar.adapter.inputs import Inputs, by_length, load, read_inputs, write_inputs
from nearfar.adapter.training import Settings, Trainee, save, train, trainee
from nearfar.backbones.checkpoints import read_config
from nearfar.backbones.eat import EAT
from nearfar.backbones.embed import embeddings
from nearfar.data.audio import read_clip
from nearfar.data.clips import read_clips
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_table, write_table
from nearfar.jobs.provenance import sources

TINY = ROOT / "tests/data/eat-tiny"
FEATURE = CONFIG["features"]["eat"]
DEFAULTS = {key: value for key, value in FEATURE["adapter"].items() if key != "channels"}
DEFAULTS |= {"pooling": FEATURE["pooling"], "layers": FEATURE["layers"]}
SHORT = Settings(**DEFAULTS | {"epochs": 2, "batch": 16, "projection": [32], "lr": 1e-3})


def planted(clips=48, frames=46):
    """Two machines of two classes each, a band of the log-mel to each class; every sixth clip is of the target."""
    random = np.random.default_rng(0)
    kind = np.arange(clips) % 4
    mels = random.normal(0, 0.1, (clips, 48, 128))
    for clip, number in enumerate(kind):
        mels[clip, :, 30 * number : 30 * number + 20] += 1
    return Inputs(
        list(mels.astype(np.float16)),
        np.full(clips, frames),
        np.array([f"m{k // 2}/{k}" for k in kind]),
        np.array([f"m{k // 2}" for k in kind]),
        np.where(np.arange(clips) // 4 % 6 == 5, "target", "source"),
    )


@pytest.fixture(scope="module")
def inputs():
    return planted()


def learn(inputs, settings=SHORT, seed=0, device="cpu", **more):
    return train(TINY, inputs, settings, seed=seed, device=device, **more)


def embedded(network, inputs):
    """The pooled embeddings, without the projection."""
    with torch.inference_mode():
        groups = by_length(inputs, np.arange(len(inputs.mels)))
        return np.concatenate([network.embed(load(inputs, rows), inputs.frames[rows]).numpy() for rows in groups])


@pytest.fixture(scope="module")
def trained(inputs):
    return learn(inputs)


@pytest.fixture(scope="module")
def vectors(trained, inputs):
    """Embeddings by the adapted model before it is merged."""
    return embedded(trained[0], inputs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, inputs, vectors):
    """What a training leaves on disk; its own network, since saving merges."""
    folder = tmp_path_factory.mktemp("model")
    save(learn(inputs)[0], folder)
    return folder


def weights(network):
    return {name: value.detach().numpy().tobytes() for name, value in network.named_parameters()}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.slow
def test_only_attention_is_adapted():
    names = trainee(TINY, replace(SHORT, projection=[]), 0).learned()
    assert sum(p.numel() for p in names.values()) == 3 * 32 * ((96 + 288) + (96 + 96))
    assert all(re.search(r"blocks\.\d\.attn\.(qkv|proj)\.lora_[AB]", name) for name in names)
    assert len(names) == 3 * 2 * 2


def test_training_changes_adapter_and_projection_only(trained):
    before, after = weights(trainee(TINY, SHORT, 0)), weights(trained[0])
    learned = set(trained[0].learned())
    assert {name for name in before if before[name] != after[name]} == learned
    assert any(name.startswith("projection") for name in learned)


def test_training_lowers_the_loss_and_separates_the_classes(trained, inputs):
    log = learn(inputs, replace(SHORT, epochs=5))[1]
    assert [row["epoch"] for row in log] == [1, 2, 3, 4, 5] and log[-1]["loss"] < 0.8 * log[0]["loss"]
    assert log[0]["loss"] == pytest.approx(log[0]["supcon"] + 0.5 * log[0]["alignment"], rel=1e-5)


def test_eval_is_train_mode_is_merged(trained, inputs, vectors, folder):
    network = trained[0]
    rows = np.arange(8)
    network.train()
    with torch.no_grad():
        in_training = network.embed(load(inputs, rows), inputs.frames[rows]).numpy()
    network.eval()
    np.testing.assert_allclose(in_training, vectors[rows], atol=1e-5)
    merged = Trainee(EAT.load(folder), SHORT)
    np.testing.assert_allclose(embedded(merged, inputs), vectors, atol=1e-5)
    frozen = embedded(Trainee(EAT.load(TINY), SHORT), inputs)
    assert np.abs(frozen - vectors).max() > 1e-2  # the adapter does something


def test_merged_model_differs_from_the_backbone_in_attention_only(folder):
    before, after = load_file(TINY / "model.safetensors"), load_file(folder / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if re.search(r"attn\.(qkv|proj)\.weight", name)}
    assert read_config(folder / "config.json") == read_config(TINY / "config.json")


def test_adapter_loads_through_peft(folder, inputs, vectors):
    from peft import PeftModel

    model = PeftModel.from_pretrained(EAT.load(TINY), folder / "adapter").eval()
    np.testing.assert_allclose(embedded(Trainee(model, SHORT), inputs), vectors, atol=1e-6)


def test_extraction_needs_no_peft():
    for path in sources("workflow/scripts/backbones/embed.py"):
        assert not re.search(r"^\s*(import|from) (peft|transformers)", Path(path).read_text(), re.M), path


def test_same_seed_same_bytes_and_the_global_generator_is_left_alone(inputs, folder, tmp_path):
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    save(learn(inputs)[0], tmp_path / "same")
    save(learn(inputs, seed=1)[0], tmp_path / "other")
    assert contents(tmp_path / "same") == contents(folder)
    assert contents(tmp_path / "other")["model.safetensors"] != contents(folder)["model.safetensors"]
    assert torch.equal(before[0], torch.random.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()


def test_every_batch_holds_both_domains_and_positives(inputs):
    for epoch in (1, 2):
        for rows in training._plan(inputs, SHORT, 0, epoch):
            assert set(inputs.domains[rows]) == {"source", "target"}
            assert np.unique(inputs.classes[rows], return_counts=True)[1].min() >= 2


def test_bfloat16_trains(inputs):
    _, log = learn(inputs, replace(SHORT, precision="bfloat16", epochs=1))
    assert np.isfinite(log[0]["loss"])


def test_a_loss_that_is_not_finite_is_an_error(inputs):
    with pytest.raises(NearfarError, match=r"features\.eat\.adapter: the loss is nan in epoch 1; lower lr"):
        learn(inputs._replace(mels=[np.full_like(mel, np.nan) for mel in inputs.mels]))


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    """Two machines on disk, whose clips differ in length, with tables, classes and inputs."""
    root = tmp_path_factory.mktemp("machines")
    files = {name: [] for name in ("clips", "classes", "inputs")}
    for machine, seconds in (("alpha", 0.5), ("beta", 0.7)):
        write_machine(root / "data", machine, source=12, target=4, test=1, seconds=seconds)
        paths = {name: root / f"{name}_{machine}" for name in files}
        paths["clips"] = write_clips(machine, root / "data" / machine, root)[0]
        table = read_clips(paths["clips"])
        classes = [f"{machine}/{n % 2}" for n in range(len(table["file"]))]
        write_table(paths["classes"], {"file": table["file"], "class": classes})
        write_inputs(table["path"], paths["inputs"], ["near"])
        for name, path in paths.items():
            files[name].append(str(path))
    return files


def test_mixed_lengths_are_embedded_as_at_extraction(machines):
    inputs = read_inputs(machines["clips"], machines["inputs"], machines["classes"])
    assert [mel.shape for mel in (inputs.mels[0], inputs.mels[-1])] == [(48, 128), (80, 128)]
    assert inputs.mels[0].dtype == np.float16 and isinstance(inputs.mels[0], np.memmap)
    found = by_length(inputs, np.array([0, 30, 1, 31, 2]))
    assert [part.tolist() for part in found] == [[0, 1, 2], [30, 31]]
    model = EAT.load(TINY)
    paths = [path for clips in machines["clips"] for path in read_clips(clips)["path"]]
    wanted = [vector for _, vector in embeddings(model, ((path, read_clip(path)[:, 0]) for path in paths))]
    got = embedded(Trainee(model, SHORT), inputs)
    np.testing.assert_allclose(got, np.stack(wanted), atol=5e-3)  # half precision


def test_it_trains_on_the_residual_and_on_bands(machines, tmp_path):
    table = read_clips(machines["clips"][0])
    write_inputs(table["path"], tmp_path / "residual.npy", ["residual"])
    residual = read_inputs(machines["clips"][:1], [tmp_path / "residual.npy"], machines["classes"][:1])
    near = read_inputs(machines["clips"][:1], machines["inputs"][:1], machines["classes"][:1])
    assert len(residual.mels) == len(near.mels) and not np.array_equal(residual.mels[0], near.mels[0])
    network, log = learn(residual, replace(SHORT, pooling="bands", epochs=1))
    assert np.isfinite(log[0]["loss"]) and network.projection[0].in_features == 2 * 8 * 96


def test_both_channels_are_items_of_their_own(machines, tmp_path):
    table = read_clips(machines["clips"][0])
    write_inputs(table["path"], tmp_path / "both.npy", ("near", "far"))
    both = read_inputs(machines["clips"][:1], [tmp_path / "both.npy"], machines["classes"][:1])
    near = read_inputs(machines["clips"][:1], machines["inputs"][:1], machines["classes"][:1])
    assert len(both.mels) == 2 * len(near.mels) and both.classes[:2].tolist() == near.classes[:1].tolist() * 2
    np.testing.assert_array_equal(both.mels[2], near.mels[1])
    assert not np.array_equal(both.mels[0], both.mels[1])


def test_inputs_and_classes_of_another_clip_table_are_refused(machines, tmp_path):
    np.save(tmp_path / "short.npy", np.load(machines["inputs"][0])[:3])
    with pytest.raises(NearfarError, match=r"short\.npy: holds 3 clips, not 16; delete it and run again"):
        read_inputs(machines["clips"][:1], [tmp_path / "short.npy"], machines["classes"][:1])
    table = read_table(machines["classes"][0])
    write_table(tmp_path / "classes", {name: values[:14] for name, values in table.items()})
    with pytest.raises(NearfarError, match=r"classes: has no class of section_00_.*\(2 missing\)"):
        read_inputs(machines["clips"][:1], machines["inputs"][:1], [tmp_path / "classes"])


def test_a_broken_clip_is_named_and_leaves_no_inputs(tmp_path):
    (tmp_path / "broken.wav").write_text("no sound")
    with pytest.raises(NearfarError, match=r"broken\.wav"):
        write_inputs([tmp_path / "broken.wav"], tmp_path / "inputs.npy", ["near"])
    assert [path.name for path in tmp_path.iterdir()] == ["broken.wav"]


KILLED = """
import os, signal, sys
sys.path[:0] = [{scripts!r}, *{tests!r}]
from nearfar.adapter import training
from test_adapter import train_files
descend, steps = training.descend, []
def fatal(*given, **named):
    steps.append(1)
    if len(steps) == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return descend(*given, **named)
training.descend = fatal
train_files({machines!r}, {folder!r})
"""


def train_files(machines, folder):
    paths = machines["clips"], machines["classes"], machines["inputs"]
    settings = DEFAULTS | {"epochs": 3, "batch": 16, "projection": [16]}
    made = {"state": f"{folder}/state.pt", "log": f"{folder}/training.parquet"}
    train_adapter(TINY, *paths, folder, settings=settings, seed=0, device="cpu", **made)


@pytest.mark.slow
def test_killed_in_an_epoch_it_goes_on_to_the_same_bytes(machines, tmp_path, monkeypatch):
    whole, killed = str(tmp_path / "whole"), str(tmp_path / "killed")
    steps, descend = [], training.descend
    monkeypatch.setattr(training, "descend", lambda *given, **named: steps.append(1) or descend(*given, **named))
    train_files(machines, whole)
    total = len(steps)
    script = KILLED.format(
        scripts=str(ROOT / "src"),
        tests=[str(ROOT / "tests"), str(Path(__file__).parent)],
        step=total // 3 + 2,  # the second step of the second epoch
        machines=machines,
        folder=killed,
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL and list(contents(killed)) == ["state.pt"]
    train_files(machines, killed)
    assert len(steps) == total + total * 2 // 3  # the first epoch was not trained again
    assert contents(killed) == contents(whole)
    assert read_table(f"{killed}/training.parquet")["epoch"].tolist() == [1, 2, 3]


def test_a_state_goes_on_only_with_its_own_settings_seed_and_inputs(inputs, tmp_path, monkeypatch):
    state, file = tmp_path / "state.pt", tmp_path / "input"
    file.write_text("one")
    steps, descend = [], training.descend
    monkeypatch.setattr(training, "descend", lambda *given, **named: steps.append(1) or descend(*given, **named))

    def trained_anew(settings=SHORT, seed=0):
        learn(inputs, settings, seed, state=state, files=[file])
        anew = bool(steps)
        steps.clear()
        return anew

    assert trained_anew() and not trained_anew()
    assert trained_anew(replace(SHORT, lr=2e-3)) and trained_anew(seed=1)
    assert trained_anew() and not trained_anew()
    file.write_text("other")
    assert trained_anew()


@pytest.mark.gpu
def test_a_gpu_learns_as_the_cpu_does_and_repeats_itself(cuda, inputs, trained, tmp_path):
    (network, log), (again, _) = learn(inputs, device=cuda), learn(inputs, device=cuda)
    assert next(network.parameters()).device.type == cuda
    assert [row["loss"] for row in log] == pytest.approx([row["loss"] for row in trained[1]], rel=0.02)
    for name, value in network.learned().items():
        assert torch.equal(value, again.learned()[name]), name
    save(network, tmp_path)
    on_gpu, on_cpu = (list(embeddings(EAT.load(tmp_path), [("a", wave())], device=one))[0][1] for one in (cuda, "cpu"))
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-4 * np.abs(on_cpu).max())


@pytest.mark.gpu
def test_an_epoch_in_bfloat16_on_a_gpu_stays_near_that_in_float32(cuda, inputs, trained):
    _, log = learn(inputs, replace(SHORT, precision="bfloat16"), device=cuda)
    assert [row["loss"] for row in log] == pytest.approx([row["loss"] for row in trained[1]], rel=0.1)


def wave(samples=8000):
    return np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
