"""Files of a model that are none: absurd settings, weights of the wrong kind, keys that fall together."""

import json
import resource
import shutil
import time

import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file, save_file

from nearfar.backbones.base import load_backbone
from nearfar.backbones.beats import BEATs
from nearfar.backbones.checkpoints import MOST, PARAMETERS, read_config, refuse_absurd, refuse_huge, renamed
from nearfar.backbones.eat import EAT
from nearfar.errors import NearfarError

TINY = ROOT / "tests/data/eat-tiny"
KEY = "model.blocks.0.attn.qkv.weight"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(TINY, tmp_path / "eat")


def refused(folder, *says):
    with pytest.raises(NearfarError) as error:
        load_backbone(folder)
    assert all(word in str(error.value) for word in says), error.value
    assert "\n" not in str(error.value) and ";" in str(error.value)


KINDS = {
    "int8": torch.int8,
    "bool": torch.bool,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "float8_e4m3fn": torch.float8_e4m3fn,
}


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_are_no_numbers_to_compute_with(kind, folder):
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {KEY: weights[KEY].to(KINDS[kind])}, folder / "model.safetensors")
    refused(folder, f"model.safetensors: {KEY} holds {kind}, not float64, float32", "as they were trained")


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_another_precision_are_taken(kind, folder):
    weights = {name: value.to(kind) for name, value in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors")
    assert next(load_backbone(folder).parameters()).dtype == torch.float32


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(number, folder):
    weights = load_file(folder / "model.safetensors")
    weights[KEY][3, 2] = number
    save_file(weights, folder / "model.safetensors")
    refused(folder, f"model.safetensors: {KEY} holds numbers that are not finite")


def test_keys_that_are_one_weight(folder):
    weights = load_file(folder / "model.safetensors")
    bare = KEY.removeprefix("model.")
    save_file(weights | {bare: weights[KEY] + 1}, folder / "model.safetensors")
    refused(folder, "model.safetensors: ", bare, f"{KEY}", "are one and the same weight; take one of them out")
    with pytest.raises(NearfarError, match="a and A are one and the same weight"):
        renamed({"b": 1, "a": 2, "A": 3}, str.lower)
    assert renamed({"B": 1, "a": 2}, str.lower) == {"b": 1, "a": 2}


ABSURD = {
    "depth": 10**6,
    "embed_dim": 10**9,
    "num_heads": 2**20,
    "mlp_ratio": 1e300,
    "max_length": 2**40,
}


@pytest.mark.parametrize("key", ABSURD)
def test_absurd_settings_are_refused_before_a_model_is_built(key, folder):
    config = json.loads((folder / "config.json").read_text()) | {key: ABSURD[key]}
    (folder / "config.json").write_text(json.dumps(config))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    refused(folder, f"config.json: {key}: ", f"is more than {MOST[key]:,}, which no published model has; mend it")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000 and time.process_time() - start < 5


def test_settings_that_are_too_much_together():
    settings = {key: MOST[key] for key in ("depth", "embed_dim", "mlp_ratio")}
    refuse_absurd(settings)
    with torch.device("meta"):
        model = torch.nn.Linear(2**16, 2**16)
    with pytest.raises(NearfarError, match=r"makes a model of 4,295,032,832 parameters, 2,000,000,000 at most; take"):
        refuse_huge(model)
    with torch.device("meta"):
        assert sum(p.numel() for p in refuse_huge(torch.nn.Linear(2**10, 2**10)).parameters()) < PARAMETERS


CONFIGS = {
    '{"depth": 1, "depth": 2}': "depth stands twice",
    '{"norm_eps": NaN}': "NaN: no finite number",
    '{"a":' * 100_000: "too deep",
    "[1, 2]": "holds no JSON object",
    '{"depth": ' + "9" * 10_000 + "}": "more than 64 bits",
    " " * (2**20 + 1): "more than 1,048,576 bytes",
    "\udce9": "not readable as JSON ('utf-8' codec",
}


@pytest.mark.parametrize("text", CONFIGS, ids=lambda text: ascii(text)[:20])
def test_a_config_that_is_none(text, tmp_path):
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(NearfarError) as error:
        read_config(tmp_path / "config.json")
    assert CONFIGS[text] in str(error.value) and str(error.value).endswith("; put the model's config.json there")


SMALL = {"embed_dim": 8, "encoder_layers": 2, "encoder_embed_dim": 16, "encoder_ffn_embed_dim": 16}
SMALL |= {"encoder_attention_heads": 2, "conv_pos": 4, "conv_pos_groups": 2, "num_buckets": 8, "max_distance": 16}
CONV = "encoder.pos_conv.0"
BEATS = {
    "whole numbers": (
        lambda cfg, model: model.update({f"{CONV}.bias": torch.zeros(16, dtype=torch.int8)}),
        f"{CONV}.bias holds int8, not float64",
    ),
    "a number that is not finite": (
        lambda cfg, model: model.update({f"{CONV}.bias": torch.full((16,), torch.inf)}),
        f"{CONV}.bias holds numbers that are not finite",
    ),
    "two names of a weight": (
        lambda cfg, model: model.update({f"{CONV}.parametrizations.weight.original0": model[f"{CONV}.weight_g"]}),
        f"{CONV}.weight_g and {CONV}.parametrizations.weight.original0 are one and the same weight",
    ),
    "a million layers": (lambda cfg, model: cfg.update(encoder_layers=10**6), "encoder_layers: 1000000 is more than"),
    "wide layers": (lambda cfg, model: cfg.update(encoder_embed_dim=10**9), "encoder_embed_dim: 1000000000 is more"),
    "an odd number": (lambda cfg, model: cfg.update(fbank_mean=float("inf")), "fbank_mean: inf is more than 1,000,000"),
}


@pytest.mark.parametrize("fault", BEATS)
def test_a_beats_checkpoint_with(fault, tmp_path):
    change, wanted = BEATS[fault]
    model = BEATs.untrained(SMALL, seed=0)
    content = {"cfg": dict(model.config), "model": dict(model.state_dict())}
    torch.save(content, tmp_path / "x.pt")
    load_backbone(tmp_path / "x.pt")
    change(content["cfg"], content["model"])
    torch.save(content, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "x.pt: ", wanted)


@pytest.mark.parametrize("config", [{"depth": 10**6}, {"depth": 64, "embed_dim": 8192, "mlp_ratio": 16.0}])
def test_an_untrained_model_beyond_all_memory(config):
    with pytest.raises(NearfarError, match=r"^backbone config: .*(is more than 64,|parameters, 2,000,000,000 at most)"):
        EAT.untrained({"num_heads": 8} | config, seed=0)
