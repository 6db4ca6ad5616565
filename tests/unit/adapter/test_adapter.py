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
from conftest import ROOT, write_machine
from safetensors.torch import load_file

from nearfar.adapter import state as adapter_state
from nearfar.adapter import training as adapter
from nearfar.adapter.files import train_adapter
from nearfar.adapter.inputs import Inputs, load, mix, parts, read_inputs, spec_augment, write_inputs
from nearfar.backbones.checkpoints import read_config
from nearfar.backbones.eat import EAT
from nearfar.backbones.embed import embeddings
from nearfar.data.audio import read_clip
from nearfar.data.clips import read_clips, write_clips
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_table, write_table
from nearfar.jobs.provenance import sources

TINY = ROOT / "tests/data/eat-tiny"
SHORT = adapter.Settings(epochs=2, batch=16, projection=(32,))


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
        np.array([f"{n}.wav" for n in range(clips)]),
        np.array([f"m{k // 2}/{k}" for k in kind]),
        np.array([f"m{k // 2}" for k in kind]),
        np.where(np.arange(clips) // 4 % 6 == 5, "target", "source"),
    )


@pytest.fixture(scope="module")
def inputs():
    return planted()


@pytest.fixture(scope="module")
def trained(inputs):
    return adapter.train(TINY, inputs, SHORT)


@pytest.fixture(scope="module")
def vectors(trained, inputs):
    """Embeddings by the adapted model before it is merged."""
    return adapter.embeddings(trained[0], inputs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, inputs, vectors):
    """What a training leaves on disk; its own network, since saving merges."""
    folder = tmp_path_factory.mktemp("model")
    adapter.save(adapter.train(TINY, inputs, SHORT)[0], folder)
    return folder


def weights(network):
    return {name: value.detach().numpy().tobytes() for name, value in network.named_parameters()}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_only_attention_is_adapted():
    names = dict(adapter_state.trainable(adapter.trainee(TINY, adapter.Settings(projection=()), 0)))
    assert sum(p.numel() for p in names.values()) == 3 * 32 * ((96 + 288) + (96 + 96))
    assert all(re.search(r"blocks\.\d\.attn\.(qkv|proj)\.lora_[AB]", name) for name in names)
    assert len(names) == 3 * 2 * 2


def test_training_changes_adapter_and_projection_only(trained):
    before, after = weights(adapter.trainee(TINY, SHORT, 0)), weights(trained[0])
    learned = {name for name, _ in adapter_state.trainable(trained[0])}
    assert {name for name in before if before[name] != after[name]} == learned
    assert any(name.startswith("projection") for name in learned)


def test_training_lowers_the_loss_and_separates_the_classes(trained, inputs):
    log = adapter.train(TINY, inputs, replace(SHORT, epochs=5))[1]
    assert [row["epoch"] for row in log] == [1, 2, 3, 4, 5] and log[-1]["loss"] < 0.8 * log[0]["loss"]
    assert log[0]["loss"] == pytest.approx(log[0]["supcon"] + 0.5 * log[0]["alignment"], rel=1e-5)
    assert [row["chosen"] for row in log] == [False] * 4 + [True]


def test_eval_is_train_mode_is_merged(trained, inputs, vectors, folder):
    network = trained[0]
    rows = np.arange(8)
    network.train()
    with torch.no_grad():
        in_training = network.embed(load(inputs, rows), inputs.frames[rows]).numpy()
    network.eval()
    np.testing.assert_allclose(in_training, vectors[rows], atol=1e-5)
    merged = adapter.Trainee(EAT.load(folder), SHORT)
    np.testing.assert_allclose(adapter.embeddings(merged, inputs), vectors, atol=1e-5)
    frozen = adapter.embeddings(adapter.Trainee(EAT.load(TINY), SHORT), inputs)
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
    np.testing.assert_allclose(adapter.embeddings(adapter.Trainee(model, SHORT), inputs), vectors, atol=1e-6)


def test_extraction_needs_no_peft():
    for path in sources("workflow/scripts/backbones/embed.py"):
        assert not re.search(r"^\s*(import|from) (peft|transformers)", Path(path).read_text(), re.M), path


def test_same_seed_same_bytes_and_the_global_generator_is_left_alone(inputs, folder, tmp_path):
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    adapter.save(adapter.train(TINY, inputs, SHORT)[0], tmp_path / "same")
    adapter.save(adapter.train(TINY, inputs, SHORT, seed=1)[0], tmp_path / "other")
    assert contents(tmp_path / "same") == contents(folder)
    assert contents(tmp_path / "other")["model.safetensors"] != contents(folder)["model.safetensors"]
    assert torch.equal(before[0], torch.random.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()


def test_every_batch_holds_both_domains_and_positives(inputs):
    for epoch in (1, 2):
        for rows in adapter._plan(inputs, SHORT, 0, epoch):
            assert set(inputs.domains[rows]) == {"source", "target"}
            assert np.unique(inputs.classes[rows], return_counts=True)[1].min() >= 2


def test_a_batch_in_pieces_has_the_gradient_of_the_whole(inputs):
    network, rows = adapter.trainee(TINY, SHORT, 0), np.arange(16)
    for _, parameter in adapter_state.trainable(network):  # lora_B starts at 0, which would hide lora_A's gradient
        parameter.data.normal_(0, 0.05, generator=torch.Generator().manual_seed(0))
    labels = [torch.arange(16) % 4, torch.arange(16) % 4 // 2, torch.arange(16) // 8]

    def gradients(pieces):
        network.zero_grad()
        pieces = [(load(inputs, part), inputs.frames[part]) for part in np.array_split(rows, pieces)]
        return adapter.gradients(network, pieces, labels), [p.grad.clone() for _, p in adapter_state.trainable(network)]

    (loss, whole), (again, divided) = gradients(1), gradients(3)
    assert again == pytest.approx(loss, rel=1e-5)
    for one, other in zip(whole, divided, strict=True):
        assert one.abs().max() > 0
        np.testing.assert_allclose(other, one, atol=1e-5 * float(one.abs().max()) + 1e-8)


def test_bfloat16_and_augmentation_train(inputs):
    settings = replace(SHORT, precision="bfloat16", accumulate=2, mixup=0.5, time_mask=8, mel_mask=16, epochs=1)
    _, log, _ = adapter.train(TINY, inputs, settings)
    assert np.isfinite(log[0]["loss"])


def test_a_loss_that_is_not_finite_is_an_error(inputs):
    with pytest.raises(NearfarError, match=r"features\.eat\.adapter: the loss is nan in epoch 1; lower lr"):
        adapter.train(TINY, inputs._replace(mels=[np.full_like(mel, np.nan) for mel in inputs.mels]), SHORT)


def test_the_probe_chooses_only_where_it_is_asked_to(inputs):
    scores, seen = {1: 0.7, 2: 0.6}, {}

    def evaluate(network, epoch):
        seen[epoch] = weights(network)
        return [{"auc_mean": scores[epoch]}]

    last, _, rows = adapter.train(TINY, inputs, replace(SHORT, probe_every=1), evaluate=evaluate)
    assert weights(last) == seen[2] and [row["auc_mean"] for row in rows] == [0.7, 0.6]
    best, log, _ = adapter.train(TINY, inputs, replace(SHORT, probe_every=1, select="probe"), evaluate=evaluate)
    assert weights(best) == seen[1] and [row["chosen"] for row in log] == [True, False]
    with pytest.raises(NearfarError, match="no machine has labelled test clips"):
        adapter.train(TINY, inputs, replace(SHORT, probe_every=1, select="probe"), evaluate=lambda *_: [])


def test_rate_warms_up_and_falls():
    rates = [adapter.rate(done, adapter.Settings(warmup=0.2)) for done in (0.1, 0.2, 0.6, 1.0)]
    np.testing.assert_allclose(rates, [0.5, 1, 0.5, 0], atol=1e-12)
    assert adapter.rate(0, adapter.Settings(warmup=0)) == 1


def test_masks_are_stripes_of_the_mean():
    mels = torch.randn(2, 1, 48, 128, generator=torch.Generator().manual_seed(0))
    before = mels.clone()
    spec_augment(mels, [40, 48], np.random.default_rng(0), time=10, mel=20)
    for image, old, real in zip(mels[:, 0], before[:, 0], (40, 48), strict=True):
        changed = (image != old).numpy()
        rows, bands = changed.all(1), changed.all(0)
        assert 0 < rows.sum() <= 10 and 0 < bands.sum() <= 20 and not rows[real:].any()
        assert (changed == (rows[:, None] | bands[None, :])).all()
        torch.testing.assert_close(image[changed.nonzero()].unique(), old[:real].mean()[None])


def test_mix_adds_powers():
    one, other = torch.zeros(3, 1, 16, 128), torch.ones(3, 1, 16, 128)
    mixed = mix(one, other, torch.tensor([1.0, 0.0, 0.5]))[:, 0, 0, 0]
    scale = 2 * 4.569
    torch.testing.assert_close(mixed, torch.tensor([0, 1, np.log(0.5 + 0.5 * np.exp(scale)) / scale]).float())


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    """Two machines on disk, whose clips differ in length, with tables, classes and inputs."""
    root = tmp_path_factory.mktemp("machines")
    files = {name: [] for name in ("clips", "classes", "inputs")}
    for machine, seconds in (("alpha", 0.5), ("beta", 0.7)):
        write_machine(root / "data", machine, source=12, target=4, test=1, seconds=seconds)
        paths = {name: root / f"{name}_{machine}" for name in files}
        write_clips(machine, root / "data" / machine, paths["clips"])
        table = read_clips(paths["clips"], "train")
        classes = [f"{machine}/{n % 2}" for n in range(len(table["file"]))]
        write_table(paths["classes"], {"file": table["file"], "class": classes})
        write_inputs(table["path"], paths["inputs"])
        for name, path in paths.items():
            files[name].append(str(path))
    return files


def test_mixed_lengths_are_embedded_as_at_extraction(machines):
    inputs = read_inputs(machines["clips"], machines["inputs"], machines["classes"])
    assert [mel.shape for mel in (inputs.mels[0], inputs.mels[-1])] == [(48, 128), (80, 128)]
    assert inputs.mels[0].dtype == np.float16 and isinstance(inputs.mels[0], np.memmap)
    found = parts(inputs, np.array([0, 30, 1, 31, 2]), 2)
    assert [part.tolist() for part in found] == [[0, 1], [2], [30, 31]]
    model = EAT.load(TINY)
    paths = [path for clips in machines["clips"] for path in read_clips(clips, "train")["path"]]
    wanted = [vector for _, vector in embeddings(model, ((path, read_clip(path)[:, 0]) for path in paths))]
    got = adapter.embeddings(adapter.Trainee(model, SHORT), inputs)
    np.testing.assert_allclose(got, np.stack(wanted), atol=5e-3)  # half precision


def test_both_channels_are_items_of_their_own(machines, tmp_path):
    table = read_clips(machines["clips"][0], "train")
    write_inputs(table["path"], tmp_path / "both.npy", ("near", "far"))
    both = read_inputs(machines["clips"][:1], [tmp_path / "both.npy"], machines["classes"][:1])
    near = read_inputs(machines["clips"][:1], machines["inputs"][:1], machines["classes"][:1])
    assert len(both.mels) == 2 * len(near.mels) and both.files[0] == both.files[1]
    np.testing.assert_array_equal(both.mels[2], near.mels[1])
    assert not np.array_equal(both.mels[0], both.mels[1])


def test_inputs_of_another_clip_table_are_refused(machines):
    with pytest.raises(NearfarError, match="holds 16 clips, not 4"):
        read_inputs(machines["clips"], machines["inputs"], split="test")


KILLED = """
import os, signal, sys
sys.path[:0] = [{scripts!r}, *{tests!r}]
from nearfar.adapter import training as adapter
from test_adapter import train_files
gradients, steps = adapter.gradients, []
def fatal(*arguments):
    steps.append(1)
    if len(steps) == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return gradients(*arguments)
adapter.gradients = fatal
train_files({machines!r}, {folder!r})
"""


def train_files(machines, folder, **settings):
    settings = {"epochs": 3, "batch": 16, "projection": [16], "mixup": 0.5, "time_mask": 8, "mel_mask": 8} | settings
    tables = {"log": f"{folder}/training.parquet", "epochs": f"{folder}/probe_epochs.parquet"}
    paths = machines["clips"], machines["classes"], machines["inputs"]
    train_adapter(TINY, *paths, folder, settings=settings, seed=0, state=f"{folder}/.state", **tables)


@pytest.mark.slow
def test_killed_in_an_epoch_it_goes_on_to_the_same_bytes(machines, tmp_path, monkeypatch):
    whole, killed = str(tmp_path / "whole"), str(tmp_path / "killed")
    steps, gradients = [], adapter.gradients
    monkeypatch.setattr(adapter, "gradients", lambda *given: steps.append(1) or gradients(*given))
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
    assert done.returncode == -signal.SIGKILL and list(contents(killed)) == [".state/state.safetensors"]
    train_files(machines, killed)
    assert len(steps) == total + total * 2 // 3  # the first epoch was not trained again
    assert contents(killed) == contents(whole)
    assert read_table(f"{killed}/training.parquet")["chosen"].tolist() == [False, False, True]


def test_a_state_of_other_settings_or_inputs_is_ignored(inputs, tmp_path):
    file = tmp_path / "input"
    file.write_text("one")

    def kept(settings, seed=0):
        network = adapter.trainee(TINY, settings, seed)
        optimizer = torch.optim.AdamW([p for _, p in adapter_state.trainable(network)])
        return adapter_state.resume(tmp_path, adapter_state.digest({"seed": seed}, [file]), network, optimizer)

    assert kept(SHORT) is None
    adapter.train(TINY, inputs, SHORT, state=tmp_path, files=[file])
    about = adapter_state.read_arrays(tmp_path / adapter_state.FILE)[1]
    assert about["progress"]["log"][-1]["epoch"] == 2 and kept(SHORT) is None
    one = adapter_state.digest({"seed": 0}, [file])
    file.write_text("other")
    assert adapter_state.digest({"seed": 0}, [file]) != one != adapter_state.digest({"seed": 1}, [file])


def test_a_choice_by_a_probe_that_is_never_made_is_refused(machines, tmp_path):
    with pytest.raises(NearfarError, match=r"features\.eat\.adapter\.probe_every: is 0, but select is probe"):
        train_files(machines, str(tmp_path), select="probe")
