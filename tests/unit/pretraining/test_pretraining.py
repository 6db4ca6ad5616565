"""Pre-training against the reference of tests/data/ufo_oracle.npz, and that a run learns, resumes and stops."""

import copy
import hashlib

import numpy as np
import pytest
import torch
from conftest import CONFIG, ROOT

from nearfar.backbones import eat, fbank
from nearfar.backbones.eat import EAT
from nearfar.errors import NearfarError
from nearfar.factory import mix
from nearfar.jobs.devices import use_device
from nearfar.jobs.files import read_table
from nearfar.pretraining import objective
from nearfar.pretraining.data import simulated, write_inputs
from nearfar.pretraining.run import Run, _groups, placed, pretrain

DATA = ROOT / "tests/data"
TINY = {"embed_dim": 32, "depth": 2, "num_heads": 2, "max_length": 16}
TRAIN = {key: value for key, value in CONFIG["pretraining"]["train"].items() if key != "interval"}
SETTINGS = TRAIN | {"steps": 6, "batch": 4, "clones": 2, "utterance": 1.0, "statistics": 0.0, "device": "cpu"}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def agree(got, wanted, tolerance=5e-6):
    """Largest difference, relative to the largest wanted value; 1e-4 is asked for."""
    got = np.asarray(got.detach() if torch.is_tensor(got) else got)
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.fixture(scope="module")
def reference():
    with np.load(DATA / "ufo_oracle.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def mels():
    with np.load(DATA / "eat_oracle.npz") as arrays:
        waves = [torch.from_numpy(arrays[f"wav_{name}"].astype(np.float32) / 32768) for name in ("near10", "far10")]
    return fbank.eat_inputs(waves)


@pytest.fixture(scope="module")
def computed(reference, mels):
    """Our student, with gradients of the loss, and what our code makes of the reference's mask and decoder."""
    student, decoder = EAT.load(DATA / "eat-tiny").train(), objective.Decoder(96)
    teacher = copy.deepcopy(student)
    with torch.no_grad():
        for name, parameter in teacher.named_parameters():
            if name != "fixed_positional_encoder.positions":
                parameter.mul_(0.97).add_(0.001)  # the reference's teacher
    weights = {key[8:]: torch.from_numpy(value) for key, value in reference.items() if key.startswith("decoder.")}
    decoder.load_state_dict(weights)
    masks = torch.from_numpy(np.unpackbits(reference["mask"], axis=1).astype(bool))
    y = objective.targets(teacher, teacher.patches(mels))
    frames, cls = objective.predictions(student, decoder, student.patches(mels), masks, torch.zeros(*masks.shape, 96))
    terms = objective.losses(frames, cls, y, masks)
    (terms["loss"] * masks.sum()).backward()
    return student, masks, y, frames, cls, terms


def test_losses_are_the_reference(reference, computed):
    _, masks, y, frames, cls, terms = computed
    hidden = masks.sum()
    assert hidden == reference["sample_size"]
    agree(terms["frame"] * hidden, reference["loss_regression_sum"])
    agree(terms["utterance"] * hidden, reference["loss_cls_sum"])
    agree(terms["target_sd"], reference["target_var"])
    agree(terms["prediction_sd"], reference["pred_var"])
    y = y.repeat_interleave(4, 0)
    agree(((frames[masks] - y[masks]) ** 2 / 96**0.5)[:64:2], reference["regression_first"])
    agree((cls - y.mean(1)) ** 2 / 96**0.5, reference["cls_unscaled"])


def test_gradients_are_the_reference(reference, computed):
    student = computed[0]
    agree(student.blocks[0].attn.qkv.weight.grad[::4], reference["grad_qkv0"])
    agree(student.extra_tokens.grad, reference["grad_extra"])
    assert student.fixed_positional_encoder.positions.grad is None


@pytest.mark.parametrize(("columns", "hidden"), [(64, 410), (25, 160), (13, 84), (1, 7)])
def test_masks_hide_the_exact_number(columns, hidden):
    masks = objective.inverse_block_masks(50, columns, np.random.default_rng(0))
    assert masks.shape == (50, 8 * columns)
    assert (masks.sum(1) == hidden).all()
    assert (masks == objective.inverse_block_masks(50, columns, np.random.default_rng(0))).all()
    assert (masks != objective.inverse_block_masks(50, columns, np.random.default_rng(1))).any()


def test_masks_show_squares():
    visible = ~objective.inverse_block_masks(200, 64, np.random.default_rng(0)).reshape(200, 64, 8)
    beside = (visible[:, 1:] & visible[:, :-1]).sum() / visible[:, 1:].sum()
    assert beside > 0.6  # 0.2 if patches were shown one by one


def test_teacher_sees_what_the_student_does_not(mels):
    """The targets take all patches, so they follow from the clip alone: neither mask nor clones enter."""
    student = EAT.untrained(TINY, 0)
    patches = student.patches(mels[:, :, :256])
    y = objective.targets(student, patches)
    assert y.shape == patches.shape
    assert not y.requires_grad
    assert torch.allclose(y.mean(2), torch.zeros(y.shape[:2]), atol=1e-5)
    assert torch.allclose(y.var(2, correction=0), torch.ones(y.shape[:2]), atol=1e-2)
    agree(objective.targets(student, patches[:1]), y[:1].numpy(), 1e-5)  # nor do the clip's companions
    patches[0, 3] *= -1  # every patch counts, though a mask would hide it
    assert not torch.allclose(objective.targets(student, patches)[0, 100], y[0, 100])


def test_hidden_patches_do_not_reach_the_student(mels):
    student, decoder = EAT.untrained(TINY, 0), objective.Decoder(32)
    masks = torch.from_numpy(objective.inverse_block_masks(4, 16, np.random.default_rng(0)))
    patches, noise = student.patches(mels[:, :, :256]).detach(), torch.zeros(4, 128, 32)
    frames, cls = objective.predictions(student, decoder, patches, masks, noise)
    assert frames.shape == (4, 128, 32)
    hidden_by_both = (masks[0] & masks[1]).nonzero()[0]
    patches[0, hidden_by_both] += 5
    again = objective.predictions(student, decoder, patches, masks, noise)
    assert torch.equal(again[0], frames)
    assert torch.equal(again[1], cls)


def test_decoder_works_on_the_grid():
    """Six convolutions of width 3 carry a change six columns far, and no further."""
    torch.manual_seed(0)
    decoder, tokens = objective.Decoder(32), torch.randn(1, 8 * 20, 32)
    changed = tokens.clone()
    changed[0, :8] += 1  # the first time column
    moved = (decoder(changed) - decoder(tokens)).abs().amax((0, 2)).view(20, 8).amax(1) > 0
    assert moved.tolist() == [True] * 7 + [False] * 13


def test_teacher_follows_all_of_the_student():
    teacher, student = EAT.untrained(TINY, 0), EAT.untrained(TINY, 1)
    before, positions = copy.deepcopy(teacher.state_dict()), teacher.fixed_positional_encoder.positions.clone()
    objective.follow(teacher, student, 0.75)
    for name, value in student.state_dict().items():
        assert torch.allclose(teacher.state_dict()[name], 0.75 * before[name] + 0.25 * value, atol=1e-7)
    assert torch.equal(teacher.fixed_positional_encoder.positions, positions)


def test_statistics_are_the_means_and_spreads_over_time():
    mels = torch.zeros(2, 4, 128)
    mels[0, :, 5], mels[1, :, 7] = torch.tensor([1.0, 2, 3, 99]), 4.0  # the fourth frame is padding
    wanted = torch.zeros(2, 256)
    wanted[0, 5], wanted[0, 128 + 5], wanted[1, 7] = 2.0, (2 / 3) ** 0.5, 4.0
    assert torch.allclose(objective.statistics(mels, 3), wanted)


def test_statistics_loss_by_hand():
    """Two columns of one clip, D = 1: the column means are 2 and 4, so the embedding is (3, 1)."""

    class Student:
        leading, pool = 1, EAT.pool

        def block_outputs(self, patches):
            cls = torch.full((1, 1, 1), 99.0)
            yield torch.cat([cls, 0 * patches], 1), None
            yield torch.cat([cls, patches], 1), None

    patches = torch.tensor([1.0, 3] * 4 + [2.0, 6] * 4).view(1, 16, 1)
    head = torch.nn.Linear(2, 4)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [1, 1], [0, 0]]))
        head.bias.copy_(torch.tensor([0.0, 0, 0, 5]))
    wanted = torch.tensor([[1.0, 1, 1, 1]])  # errors 2, 0, 3, 4
    agree(objective.statistics_loss(Student(), head, patches, 20, wanted), np.float32(29 / 2))
    assert objective.statistics_loss(Student(), head, patches, 16, wanted) != 29 / 2  # the second column is padding


def learned(mels, steps=3, **settings):
    """The state of a run after some steps, its head left out, and its log."""
    run = Run(TINY, mels, seed=0, **(SETTINGS | settings))
    for _ in range(steps):
        run.learn()
    return {name: value for name, value in run.trained.state_dict().items() if not name.startswith("head.")}, run


def test_weight_zero_is_the_literal_objective(inputs, monkeypatch):
    mels = np.load(inputs)
    ours, run = learned(mels, statistics=0.0)
    for row in run.log:
        assert row["loss"] == np.float32(row["frame"]) + np.float32(row["utterance"])
    with monkeypatch.context() as patch:  # whatever the term says, it does not count
        patch.setattr(objective, "statistics_loss", lambda *_: torch.zeros(()))
        literal, _ = learned(mels)
    assert all(torch.equal(ours[name], literal[name]) for name in literal)
    with_it, run = learned(mels, statistics=2.0, utterance=0.5)
    assert not torch.equal(with_it["student.local_encoder.proj.weight"], ours["student.local_encoder.proj.weight"])
    row = run.log[0]
    assert row["loss"] == pytest.approx(row["frame"] + 0.5 * row["utterance"] + 2 * row["statistics"])


def test_statistics_reach_the_encoder(inputs):
    run = Run(TINY, np.load(inputs), seed=0, **SETTINGS)
    assert run.frames == 98  # of 112, the rest is padding
    run._terms(torch.from_numpy(run.mels[:4].astype(np.float32))[:, None], 0)["statistics"].backward()
    missing = [name for name, p in run.trained.named_parameters() if p.requires_grad and p.grad is None]
    assert all(name.startswith("decoder.") for name in missing)
    assert run.trained["student"].local_encoder.proj.weight.grad.abs().max() > 0


def test_a_later_place_takes_later_positions(mels):
    model = EAT.untrained(TINY, 0)
    whole, part = model.patches(mels[:, :, :256]), mels[:, :, 64:256]
    agree(placed(model, part, 4), whole[:, 32:].detach().numpy())
    agree(placed(model, part, 0), model.patches(part).detach().numpy(), 0)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    path = tmp_path_factory.mktemp("inputs") / "inputs.npy"
    write_inputs(path, clips=6, seconds=1.0, seed=0)
    return path


def test_inputs(inputs):
    mels = np.load(inputs, mmap_mode="r")
    assert mels.shape == (12, 112, 128)
    assert mels.dtype == np.float16
    assert np.isfinite(mels).all()
    wave = torch.from_numpy(simulated(2, 1.0, 0).astype(np.float32))
    agree(mels[4:6].astype(np.float32), fbank.eat_inputs(wave)[:, 0].numpy(), 1e-3)  # rows 2i, 2i + 1: near, far
    assert len({row.tobytes() for row in mels}) == 12


def test_inputs_are_not_the_data_set(monkeypatch):
    """Its variants are 32-bit numbers, these are negative; all machines, both domains and healthy clips only."""
    seen = []

    def parts(clip, seconds, seed, *, noise_sources, variant):
        seen.append((clip.machine, clip.domain, variant))
        assert clip.fault == "" and clip.label == "normal" and variant < 0
        return np.ones((2, 16000)), np.ones((2, 16000))

    monkeypatch.setattr(mix, "parts", parts)
    for number in range(12):
        simulated(number, 1.0, 0)
    assert len(set(seen)) == 12
    assert len({machine_and_domain[:2] for machine_and_domain in seen}) == 6
    assert len({variant for *_, variant in seen}) == 6


def outputs(folder):
    names = {"config": "config.json", "weights": "model.safetensors", "log": "log.parquet", "plot": "loss.png"}
    return {key: folder / name for key, name in names.items()}


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.mark.slow
def test_resumed_is_uninterrupted(inputs, tmp_path, monkeypatch):
    arguments = SETTINGS | {"config": TINY, "seed": 3, "statistics": 2.0, "interval": 2}
    pretrain(inputs, outputs(tmp_path / "whole"), **arguments)

    def killed(run, _learn=Run.learn):
        if run.step == 5:  # one step after the second state
            raise KeyboardInterrupt
        return _learn(run)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "learn", killed)
        pretrain(inputs, outputs(tmp_path / "parts"), **arguments)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["state.pt"]
    torch.manual_seed(99)  # the global generator has no say
    pretrain(inputs, outputs(tmp_path / "parts"), **arguments)
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")
    assert sorted(digests(tmp_path / "whole")) == ["config.json", "log.parquet", "loss.png", "model.safetensors"]
    assert read_table(tmp_path / "whole/log.parquet")["step"].tolist() == list(range(6))
    model = EAT.load(tmp_path / "whole")
    positions = model.fixed_positional_encoder.positions
    assert torch.equal(positions, eat.sincos(16, 32))


@pytest.mark.parametrize("other", [{"seed": 1}, {"lr": 0.5}, {"config": TINY | {"depth": 1}}, {"inputs": "other"}])
def test_the_state_of_another_run_is_ignored(inputs, tmp_path, monkeypatch, other):
    """Half a run's state is in place; a run of other settings or inputs begins at its first step all the same."""
    arguments = SETTINGS | {"config": TINY, "seed": 0, "interval": 1, "steps": 2}
    seen = []

    def stopped(run, _learn=Run.learn):
        seen.append(run.step)
        if run.step == 1:
            raise KeyboardInterrupt
        return _learn(run)

    monkeypatch.setattr(Run, "learn", stopped)
    mels = np.load(inputs)
    np.save(tmp_path / "other.npy", mels[:, ::-1])
    for changes in ({}, {}, other):
        given = tmp_path / "other.npy" if changes.get("inputs") else inputs
        settings = {key: value for key, value in (arguments | changes).items() if key != "inputs"}
        with pytest.raises(KeyboardInterrupt):
            pretrain(given, outputs(tmp_path / "run"), **settings)
    assert seen == [0, 1, 1, 0, 1]


@pytest.mark.slow
def test_training_lowers_the_loss(inputs):
    run = Run(TINY, np.load(inputs), seed=0, **SETTINGS | {"steps": 60, "batch": 6, "lr": 3e-3})
    for _ in range(60):
        run.learn()
    frame = [row["frame"] for row in run.log]
    assert np.mean(frame[-5:]) < 0.7 * np.mean(frame[:5])
    assert run.log[-1]["loss"] < run.log[0]["loss"]


def test_weight_decay_spares_biases_and_norms():
    decayed, spared = _groups(EAT.untrained(TINY, 0))
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0.0)
    assert {p.ndim for p in spared["params"]} == {1}
    assert sum(p.numel() for group in (decayed, spared) for p in group["params"]) + 128 * 32 == sum(
        p.numel() for p in EAT.untrained(TINY, 0).parameters()
    )  # all but the positions


def test_ill_runs_stop(inputs):
    mels = np.load(inputs)
    run = Run(TINY, mels, seed=0, **SETTINGS)
    with torch.no_grad():
        run.trained["decoder"].proj.bias[0] = np.nan
    with pytest.raises(NearfarError, match="pretraining.train: the loss is nan in step 0; lower lr"):
        run.learn()
    run = Run(TINY, np.zeros_like(mels), seed=0, **SETTINGS | {"elsewhere": 0})
    with torch.no_grad():
        for model in (run.teacher, run.trained["student"]):
            model.fixed_positional_encoder.positions.zero_()  # all patches alike: so are all targets
    with pytest.raises(NearfarError, match="the targets have collapsed in step 0"):
        run.learn()


@pytest.mark.gpu
def test_a_gpu_learns_as_the_cpu_does_and_repeats_itself(cuda, inputs):
    mels, on_gpu = np.load(inputs), {"device": cuda, "statistics": 1.0}
    use_device(cuda)  # as pretrain does
    (states, run), (again, _), (_, reference) = (
        learned(mels, **on_gpu),
        learned(mels, **on_gpu),
        learned(mels, statistics=1.0),
    )
    assert all(torch.equal(states[name], again[name]) for name in states)
    assert states["student.extra_tokens"].device.type == cuda
    assert [row["loss"] for row in run.log] == pytest.approx([row["loss"] for row in reference.log], rel=0.02)
