"""EAT against the reference outputs of a small model (see tests/data/README.md), and what its loader refuses."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import ROOT, SHARED
from safetensors.torch import load_file, save_file

from nearfar.backbones import eat, fbank
from nearfar.backbones.eat import EAT
from nearfar.errors import NearfarError

DATA = ROOT / "tests/data"
ORACLE = SHARED / "oracle"
CLIPS = ["near10", "far10", "clip12", "clip6p3"]
SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2, "max_length": 16}
POOLS = {
    "pool_allpatch_biased": "all_patches",
    "pool_freqmean_time_biased": "all_columns",
    "pool_validpatch_ceil_biased": "patches",
}


@pytest.fixture(scope="module")
def oracle():
    with np.load(DATA / "eat_oracle.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def model():
    return EAT.load(DATA / "eat-tiny")


@pytest.fixture(scope="module")
def inputs(oracle):
    return fbank.eat_inputs([wave(oracle, "near10"), wave(oracle, "far10")])


def wave(oracle, name):
    return torch.from_numpy(oracle[f"wav_{name}"].astype(np.float32) / 32768)


def agree(got, wanted, tolerance=1e-5):
    """Largest difference, relative to the largest wanted value."""
    wanted, got = np.asarray(wanted), np.asarray(got.detach() if torch.is_tensor(got) else got)
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CLIPS)
def test_front_end(oracle, name, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        agree(fbank.fbank(wave(oracle, name))[::4], oracle[f"fbank_raw_{name}"])
        if f"input_{name}" in oracle:  # longer clips are cut to 1024 frames, shorter ones padded
            agree(fbank.eat_input(wave(oracle, name), 1024)[:, ::8], oracle[f"input_{name}"])
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not ORACLE.is_dir(), reason="../shared/oracle is not there: whole spectrograms not compared")
@pytest.mark.parametrize("name", CLIPS)
def test_front_end_whole(name):
    with np.load(ORACLE / "oracle_audio.npz") as whole:
        agree(fbank.fbank(wave(whole, name)), whole[f"fbank_raw_{name}"])
        if f"input_{name}" in whole:
            agree(fbank.eat_input(wave(whole, name), 1024), whole[f"input_{name}"])


def test_lengths(oracle):
    assert fbank.frame_count(160000) == 998
    assert [fbank.input_length(n) for n in (998, 1024, 1198, 628, 16, 1)] == [1024, 1024, 1200, 640, 16, 16]
    x = fbank.eat_input(wave(oracle, "clip6p3"))
    assert x.shape == (1, 640, 128)
    assert torch.all((x[:, 628:] - 0.46706).abs() < 1e-5)  # padding is normalised after it is put there
    for samples in (0, 399):
        assert fbank.frame_count(samples) == 0
        with pytest.raises(NearfarError, match="shorter than one window"):
            fbank.fbank(torch.zeros(samples))


def test_states(oracle, model, inputs):
    with torch.no_grad():
        states = list(model.block_outputs(model.patches(inputs[:1])))
    for (x, _), wanted in zip(states, oracle["hidden"], strict=True):
        agree(x[:, ::8], wanted)
    assert states[0][1] is None
    for (_, t), wanted in zip(states[1:], oracle["layer_results"], strict=True):
        agree(t[:, ::8], wanted)


def test_tokens_and_pooling(oracle, model, inputs):
    with torch.no_grad():
        tokens = model(inputs)
        short = model(fbank.eat_inputs([wave(oracle, "clip6p3")]))
    agree(tokens, oracle["tokens"])
    agree(short, oracle["tokens_short"])
    for name, pooling in POOLS.items():
        agree(model.pool(tokens, oracle["n_frames"], pooling), oracle[name])


def test_default_pooling_takes_real_columns(model, inputs):
    with torch.no_grad():
        tokens = model(inputs)
    columns = tokens[:, 1:].reshape(2, 64, 8, 96).mean(2)[:, :63]
    agree(model.pool(tokens, 998), torch.cat([columns.mean(1), columns.std(1, correction=0)], 1))


def test_layers_are_averaged(model, inputs):
    with torch.no_grad():
        states = list(model.states(inputs[:1]))
        agree(model(inputs[:1], layers=[1, 3]), (states[1] + states[3]) / 2)
    for wrong in ([4], [], [-1], [0.5]):
        with pytest.raises(NearfarError, match="layers: .* 0 … 3"):
            model(inputs[:1], layers=wrong)


def test_gradients(oracle, inputs):
    model = EAT.load(DATA / "eat-tiny")
    (model(inputs[:1])[:, 1:].mean(1) @ torch.from_numpy(oracle["grad_v"])).sum().backward()
    agree(model.blocks[0].attn.qkv.weight.grad, oracle["grad_qkv0"])
    agree(model.blocks[2].mlp.fc1.weight.grad[:8], oracle["grad_fc1_2"])
    assert model.fixed_positional_encoder.positions.grad is None


def test_lora_merged(oracle, inputs):
    model = EAT.load(DATA / "eat-tiny")
    with torch.no_grad():
        for name, module in lora_targets(model):
            a, b = (torch.from_numpy(oracle[f"lora.{name}.{part}"]) for part in "AB")
            module.weight += b @ a * (64 / 32)
        agree(model(inputs[:1])[:, ::4], oracle["tokens_lora"])


def test_lora_by_peft(oracle, inputs):
    """Adapters must not be passed over in evaluation mode: eval = train = merged = reference."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=32, lora_alpha=64, lora_dropout=0.0, target_modules=["attn.qkv", "attn.proj"])
    model = get_peft_model(EAT.load(DATA / "eat-tiny"), config)
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    assert len(trainable) == 2 * 2 * 3 and all(".lora_" in name for name in trainable)
    with torch.no_grad():
        for name, module in lora_targets(model.get_base_model()):
            module.lora_A["default"].weight.copy_(torch.from_numpy(oracle[f"lora.{name}.A"]))
            module.lora_B["default"].weight.copy_(torch.from_numpy(oracle[f"lora.{name}.B"]))
        for tokens in (model.eval()(inputs[:1]), model.train()(inputs[:1]), model.merge_and_unload()(inputs[:1])):
            agree(tokens[:, ::4], oracle["tokens_lora"])


def lora_targets(model):
    for number, block in enumerate(model.blocks):
        yield f"{number}.qkv", block.attn.qkv
        yield f"{number}.proj", block.attn.proj


def test_positions(model):
    agree(eat.sincos(128, 96), model.fixed_positional_encoder.positions, 1e-6)


def test_too_long_a_clip():
    with pytest.raises(NearfarError, match="272 frames is longer than the 256 frames"):
        EAT.untrained(SMALL, 0)(torch.zeros(1, 1, 272, 128))


@pytest.mark.parametrize("variant", ["pretrain", "finetune"])
def test_round_trip(tmp_path, variant):
    config = SMALL | {"model_variant": variant, "num_classes": 5}
    model = EAT.untrained(config, 3)
    model.save(tmp_path)
    again = EAT.load(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"model_type": "eat"} | config
    assert all(key.startswith("model.") for key in load_file(tmp_path / "model.safetensors"))
    assert ("head.weight" in again.state_dict()) == (variant == "finetune")
    mels = torch.randn(2, 1, 32, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(again(mels), model(mels))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_saving_the_tiny_model_gives_its_own_bytes(tmp_path, model):
    model.save(tmp_path)
    wanted = load_file(DATA / "eat-tiny" / "model.safetensors")
    got = load_file(tmp_path / "model.safetensors")
    assert got.keys() == wanted.keys() and all(torch.equal(got[k], wanted[k]) for k in wanted)


def test_untrained_is_seeded(tmp_path):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        EAT.untrained(SMALL, seed).save(tmp_path / folder)
    EAT.load(tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), before)
    a, b, c = ((tmp_path / folder / "model.safetensors").read_bytes() for folder in "abc")
    assert a == b != c
    model = EAT.untrained(SMALL, 1)
    assert torch.equal(model.pre_norm.weight, torch.ones(32)) and not model.blocks[0].attn.qkv.bias.any()
    assert 0.015 < model.blocks[0].mlp.fc1.weight.std() < 0.025


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"embed_dims": 96}, "unknown key 'embed_dims'"),
        ({"embed_dim": 100, "num_heads": 3}, "embed_dim: 100 is not a multiple"),
        ({"depth": 0}, "depth: 0"),
        ({"depth": "3"}, "depth: '3'"),
        ({"layer_norm_first": True}, "layer_norm_first: True"),
        ({"model_variant": "tuned"}, "model_variant: 'tuned'"),
    ],
)
def test_config_refused(config, said):
    with pytest.raises(NearfarError, match=said):
        EAT.untrained(SMALL | config, 0)


def copy_with(folder, change):
    """Copy eat-tiny with its state changed by ``change(state)``."""
    shutil.copytree(DATA / "eat-tiny", folder, dirs_exist_ok=True)
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")
    return folder


def refused(folder, *words):
    with pytest.raises(NearfarError) as caught:
        EAT.load(folder)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_checkpoint_must_fit(tmp_path):
    path = str(tmp_path / "model.safetensors")
    bias = "model.blocks.1.attn.qkv.bias"
    missing = copy_with(tmp_path, lambda state: [state.pop(k) for k in list(state) if ".blocks.2." in k or k == bias])
    refused(
        missing, path, "13 keys missing (blocks.1.attn.qkv.bias, blocks.2.attn.proj.bias, blocks.2.attn.proj.weight, …)"
    )
    extra = copy_with(tmp_path, lambda state: state.update({"model.head.bias": torch.zeros(2)}))
    refused(extra, path, "1 keys not known (head.bias)")
    other = copy_with(tmp_path, lambda state: state.update({bias: torch.zeros(3)}))
    refused(other, path, "1 keys of another shape (blocks.1.attn.qkv.bias)")
    none = copy_with(tmp_path, lambda state: [state.update({f"x.{k}": state.pop(k)}) for k in list(state)])
    refused(none, path, "42 keys missing", "42 keys not known (x.model.")


def test_checkpoint_absent_cut_or_not_one(tmp_path):
    refused(tmp_path, str(tmp_path / "config.json"), "not readable")
    (tmp_path / "config.json").write_text("[1]")
    refused(tmp_path, "no JSON object")
    (tmp_path / "config.json").write_text('{"embed_dim": ')
    refused(tmp_path, "not readable as JSON")
    shutil.copy(DATA / "eat-tiny" / "config.json", tmp_path)
    path = tmp_path / "model.safetensors"
    refused(tmp_path, f"{path}: absent")
    whole = (DATA / "eat-tiny" / "model.safetensors").read_bytes()
    for cut in (0, 5, 1000, len(whole) - 1):
        path.write_bytes(whole[:cut])
        refused(tmp_path, f"{path}: incomplete")
