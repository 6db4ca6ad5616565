"""BEATs against openbeats' encoder, what its loader refuses, and the second backbone through extraction."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import soundfile
import torch
from conftest import write_files
from safetensors.torch import load_file
from torchaudio.compliance import kaldi

from nearfar.backbones import beats, eat, embed
from nearfar.backbones import source as backbone
from nearfar.backbones.base import POOLINGS, load_backbone
from nearfar.backbones.beats import BEATs
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_vectors

SMALL = {
    "embed_dim": 24,
    "encoder_layers": 2,
    "encoder_embed_dim": 48,
    "encoder_ffn_embed_dim": 96,
    "encoder_attention_heads": 3,
    "conv_pos": 16,
    "conv_pos_groups": 4,
    "deep_norm": True,
    "relative_position_embedding": True,
    "num_buckets": 32,
    "max_distance": 20,
    "gru_rel_pos": True,
}
VARIANTS = {
    "published": {},
    "published buckets": {"num_buckets": 320, "max_distance": 800, "conv_pos": 128},
    "bias without gates": {"gru_rel_pos": False},
    "no bias, no deep norm": {"relative_position_embedding": False, "gru_rel_pos": False, "deep_norm": False},
    "no projection": {"embed_dim": 48, "conv_bias": True, "conv_pos": 15},
    "own normalisation": {"fbank_mean": 11.5, "fbank_std": 4.25},
}
BIAS = "encoder.layers.{}.self_attn.relative_attention_bias.weight"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def published(config, seed=0):
    """Return a checkpoint's content as published: dropout rates and more in cfg, the shared bias in every layer."""
    model = BEATs.untrained(config, seed)
    generator = torch.Generator().manual_seed(seed)
    state = {k: v + 0.1 * torch.randn(v.shape, generator=generator) for k, v in model.state_dict().items()}
    if BIAS.format(0) in state:
        state[BIAS.format(0)] *= 10  # or else positions hardly matter
        state |= {BIAS.format(n): state[BIAS.format(0)].clone() for n in range(1, config["encoder_layers"])}
    extra = {"dropout": 0.3, "attention_dropout": 0.3, "encoder_layerdrop": 0.5, "finetuned_model": False}
    return {"cfg": model.config | extra, "model": state}


def fine_tuned(config):
    content = published(config)
    content["model"] |= {"predictor.weight": torch.zeros(7, 48), "predictor.bias": torch.zeros(7)}
    content["cfg"] |= {"finetuned_model": True, "predictor_class": 7, "predictor_dropout": 0.0}
    return content | {"label_dict": {0: "/m/09x0r"}}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "BEATs_small.pt"
    torch.save(published(SMALL), path)
    return path


@pytest.fixture(scope="module")
def model(checkpoint):
    return BEATs.load(checkpoint)


@pytest.fixture(scope="module")
def waves():
    """Three near waveforms of 1 s."""
    return torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (3, 16000)).astype(np.float32))


@pytest.fixture(scope="module")
def reference():
    """openbeats' wrapper of a checkpoint's content: a function of (content, max_layer)."""
    pytest.importorskip("openbeats", reason="openbeats is not there: BEATs is not compared with it")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        if "transformers" not in sys.modules:
            patch.setitem(sys.modules, "transformers", None)  # it is for openbeats' adapters only, and takes 14 s
        warnings.simplefilter("ignore")
        from openbeats.beats_encoder import BeatsEncoder
        from openbeats.model import OpenBeats

    def make(content, max_layer=None):
        cfg, published_mean = content["cfg"], {"fbank_mean": 15.41663, "fbank_std": 6.55582}
        scale = {key: cfg.get(key, value) for key, value in published_mean.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            encoder = BeatsEncoder(input_size=0, beats_config=cfg, max_layer=max_layer, **scale)
        keys = encoder.load_state_dict(content["model"], strict=False)
        assert not keys.unexpected_keys and all("_pad" in key for key in keys.missing_keys)
        return OpenBeats(encoder)

    return make


def agree(got, wanted, tolerance=1e-5):
    """Largest difference, relative to the largest wanted value."""
    got, wanted = np.asarray(got.detach() if torch.is_tensor(got) else got), np.asarray(wanted)
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= tolerance * np.abs(wanted).max()


def refused(call, *words):
    with pytest.raises(NearfarError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


# --- the encoder


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("variant", VARIANTS)
def test_equal_to_openbeats(reference, variant, waves, tmp_path):
    content = published(SMALL | VARIANTS[variant], seed=3)
    torch.save(content, tmp_path / "small.pt")
    model = BEATs.load(tmp_path / "small.pt")
    wave = torch.cat([waves.flatten(), waves.flatten(), waves[0, :8000]])  # 6.5 s
    with torch.no_grad():
        mels = model.inputs([wave])
        agree(model(mels)[0], reference(content).encode(wave)["patch_embeddings"])
        states = [x[0] for x in model.states(mels)]
        for number in range(2):  # what openbeats calls max_layer 0 is the input of the first layer
            agree(states[number], reference(content, number).encode(wave)["patch_embeddings"])


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_openbeats_own_state_loads(reference, waves, tmp_path):
    encoder = reference(published(SMALL))
    state = encoder.encoder.state_dict()  # with its padding masks, and the shared bias twice
    assert {"raw2fbank_pad.weight", BIAS.format(1)} < state.keys()
    torch.save({"cfg": published(SMALL)["cfg"], "model": state}, tmp_path / "own.pt")
    model = BEATs.load(tmp_path / "own.pt")
    with torch.no_grad():
        agree(model(model.inputs(waves[:1]))[0], encoder.encode(waves[0])["patch_embeddings"])


def test_buckets():
    near = beats.buckets(torch.arange(-400, 401), 32, 20)
    assert near[400] == 0 and near[399] == 1 and near[401] == 17  # key and query the same, before, after
    assert [int(near[400 - n]) for n in (7, 8, 19, 20, 400)] == [7, 8, 15, 15, 15]
    assert int(near.max()) == 31 and torch.equal(near[401:] - 16, near[:400].flip(0))


def test_shapes(model):
    wave = torch.randn(160000, generator=torch.Generator().manual_seed(0)) * 0.1
    inputs = model.inputs([wave])
    assert inputs.shape == (1, 1, 992, 128)  # 998 frames: the 6 that make no whole column are left out
    assert [model.input_length(n) for n in (998, 992, 31, 16, 15)] == [992, 992, 16, 16, 0]
    with torch.no_grad():
        tokens = model(inputs)
        assert tokens.shape == (1, 496, 48)
        whole = (beats.fbank(wave)[None, None] - 15.41663) / (2 * 6.55582)
        assert whole.shape[2] == 998 and torch.equal(model(whole), tokens)  # the convolution leaves them out itself


def test_front_end(waves):
    mels = kaldi.fbank(
        waves[:1] * 2**15,
        num_mel_bins=128,
        sample_frequency=16000,
        frame_length=25,
        frame_shift=10,
        window_type="povey",
    )
    agree(BEATs.untrained(SMALL, 0).inputs(waves[:1])[0, 0], ((mels - 15.41663) / (2 * 6.55582))[:96])
    other = BEATs.untrained(SMALL | {"fbank_mean": 10.0, "fbank_std": 2.0}, 0)
    agree(other.inputs(waves[:1])[0, 0], ((mels - 10) / 4)[:96])
    assert beats.fbank(torch.zeros(2800)).shape == (16, 128)
    with pytest.raises(NearfarError, match=r"2799 samples is shorter than one patch \(2800\)"):
        beats.fbank(torch.zeros(2799))


def test_layers_are_averaged(model, waves):
    with torch.no_grad():
        inputs = model.inputs(waves)
        states = list(model.states(inputs))
        agree(model(inputs, layers=[0, 2]), (states[0] + states[2]) / 2)
        agree(model(inputs, layers=[1, 2]), torch.stack(states[1:]).mean(0))
        assert torch.equal(model(inputs, layers=[2]), model(inputs)) and len(states) == 3
        for wrong in ([3], [], [-1], [0.5]):
            with pytest.raises(NearfarError, match="layers: .* 0 … 2 of this BEATs"):
                model(inputs, layers=wrong)


def test_evaluation_is_repeatable_and_leaves_the_generators(model, waves):
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    with torch.no_grad():
        assert torch.equal(model(model.inputs(waves)), model(model.inputs(waves)))
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_untrained_is_seeded(tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        backbone.fetch("untrained", tmp_path / folder, family="beats", config=SMALL, seed=seed)
    a, b, c = ((tmp_path / folder / "model.safetensors").read_bytes() for folder in "abc")
    assert a == b != c and isinstance(load_backbone(tmp_path / "a"), BEATs)
    deep = BEATs.untrained({key: SMALL[key] for key in list(SMALL)[:7]}, 0)  # the rest as in the published models
    assert deep.encoder.layers[0].alpha == 4**0.25 and deep.encoder.max_distance == 800


# --- the checkpoint


def saved(tmp_path, change, content=None):
    content = content or published(SMALL)
    change(content)
    torch.save(content, tmp_path / "changed.pt")
    return tmp_path / "changed.pt"


def test_checkpoint_must_fit(tmp_path):
    def refuses(change, *words):
        path = saved(tmp_path, lambda content: change(content["model"]))
        refused(lambda: BEATs.load(path), str(path), *words)

    layer = "encoder.layers.1."
    refuses(
        lambda state: [state.pop(key) for key in list(state) if key.startswith(layer) or key == "layer_norm.bias"],
        f"20 keys missing ({layer}fc1.bias, {layer}fc1.weight, {layer}fc2.bias, …)",
    )
    refuses(lambda state: state.update({"predictor.scale": torch.zeros(2)}), "1 keys not known (predictor.scale)")
    refuses(lambda state: state.update({"layer_norm.bias": torch.zeros(3)}), "of another shape (layer_norm.bias)")
    refuses(lambda state: state[BIAS.format(1)].add_(1), f"1 keys not known ({BIAS.format(1)})")  # no copy: two biases
    refuses(
        lambda state: [state.update({f"x.{k}": state.pop(k)}) for k in list(state)],
        "49 keys missing",
        "50 keys not known",
    )


def test_cfg_overrides_defaults(tmp_path, model):
    assert len(model.encoder.layers) == 2 and model.encoder.layers[0].alpha == 4**0.25
    path = saved(tmp_path, lambda content: content["cfg"].pop("encoder_layers"))
    refused(lambda: BEATs.load(path), str(path), "keys missing (encoder.layers.10.")  # 12 by default
    path = saved(tmp_path, lambda content: content["cfg"].update(deep_norm=False))
    assert BEATs.load(path).encoder.layers[0].alpha == 1
    assert BEATs.load(saved(tmp_path, lambda content: content["cfg"].update(new=1))).config["new"] == 1


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"layer_norm_first": True}, "layer_norm_first: True is not supported, only False"),
        ({"activation_fn": "glu"}, "activation_fn: 'glu'"),
        ({"input_patch_size": 8}, "input_patch_size: 8"),
        ({"encoder_layers": 0}, "encoder_layers: 0"),
        ({"encoder_embed_dim": "48"}, "encoder_embed_dim: '48'"),
        ({"encoder_attention_heads": 5}, "not a multiple of encoder_attention_heads (5)"),
        ({"conv_pos_groups": 7}, "not a multiple of conv_pos_groups (7)"),
        ({"max_distance": 8}, "max_distance: 8"),
    ],
)
def test_config_refused(tmp_path, config, said):
    path = saved(tmp_path, lambda content: content["cfg"].update(config))
    refused(lambda: BEATs.load(path), str(path), said)
    refused(lambda: BEATs.untrained(SMALL | config, 0), "backbone config: ", said)


def test_unknown_key_of_an_untrained_model():
    refused(lambda: BEATs.untrained(SMALL | {"layers": 3}, 0), "unknown key 'layers'", "encoder_layers")


def test_fine_tuned_head_and_newer_names_are_known(tmp_path, model, waves):
    def rename(content):
        for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
            state = content["model"]
            state[f"encoder.pos_conv.0.parametrizations.weight.{new}"] = state.pop(f"encoder.pos_conv.0.{old}")

    again = BEATs.load(saved(tmp_path, rename, fine_tuned(SMALL)))
    with torch.no_grad():
        assert torch.equal(again(again.inputs(waves)), model(model.inputs(waves)))
    assert "predictor.weight" not in again.state_dict()


class Code:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_pickle_does_not_run(tmp_path):
    path = saved(tmp_path, lambda content: content["cfg"].update(surprise=Code(tmp_path / "ran")))
    refused(lambda: BEATs.load(path), str(path), "could run code")
    refused(lambda: backbone.fetch(path, tmp_path / "out", family="beats"), str(path), "could run code")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()
    torch.load(path, weights_only=False)  # it would have run
    assert (tmp_path / "ran").exists()


def test_checkpoint_absent_cut_or_not_one(tmp_path, checkpoint):
    path, whole = tmp_path / "cut.pt", checkpoint.read_bytes()
    refused(lambda: BEATs.load(path), f"{path}: no such file")
    for content in (b"", whole[:1000], whole[:-1000], b"version https://git-lfs.github.com/spec/v1\n"):
        path.write_bytes(content)
        refused(lambda: BEATs.load(path), f"{path}: not loaded", "get the published checkpoint again")
    for content in ([1], {"model": {}}, {"cfg": {}, "model": {"a": 1}}, {"cfg": 3, "model": {}}):
        torch.save(content, path)
        refused(lambda: BEATs.load(path), f"{path}: holds no")


# --- the backbone


@pytest.fixture(scope="module")
def folder(checkpoint, tmp_path_factory):
    """The checkpoint as the workflow keeps it."""
    folder = tmp_path_factory.mktemp("backbone")
    backbone.fetch(checkpoint, folder, family="beats")
    return folder


def test_conversion_round_trip(folder, checkpoint, model, waves, tmp_path):
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    config = json.loads((folder / "config.json").read_text())
    assert config == {"model_type": "beats"} | torch.load(checkpoint, weights_only=True)["cfg"]
    assert load_file(folder / "model.safetensors").keys() == model.state_dict().keys()
    again = load_backbone(folder)
    with torch.no_grad():
        assert torch.equal(again(again.inputs(waves)), model(model.inputs(waves)))
    again.save(tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    backbone.fetch(folder, tmp_path / "linked", family="beats")  # a converted folder is a backbone like any other
    assert (tmp_path / "linked/model.safetensors").is_symlink()
    backbone.fetch(checkpoint, tmp_path / "linked", family="beats")  # over the link, not through it
    assert not (tmp_path / "linked/model.safetensors").is_symlink() and len(load_file(folder / "model.safetensors"))


def test_resolve(checkpoint, tmp_path):
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert backbone.resolve(checkpoint, sha256=sha256) == checkpoint
    refused(
        lambda: backbone.fetch(checkpoint, tmp_path / "out", family="beats", sha256="0" * 64), str(checkpoint), sha256
    )
    assert not (tmp_path / "out").exists()
    first = shutil.copy(checkpoint, tmp_path / "a.pt")
    assert backbone.resolve(tmp_path, sha256=sha256) == first
    shutil.copy(checkpoint, tmp_path / "b.pt")
    refused(lambda: backbone.resolve(tmp_path), "a.pt and 1 more", "file")
    assert backbone.resolve(tmp_path, file="b.pt").name == "b.pt"
    refused(lambda: backbone.resolve(tmp_path, file="c.pt"), str(tmp_path / "c.pt"), "absent")
    refused(lambda: backbone.resolve(tmp_path, file="b.bin"), "'b.bin'", ".pt")
    (tmp_path / "clip.wav").touch()
    refused(lambda: backbone.resolve(tmp_path / "clip.wav"), "clip.wav: no .pt file")


def test_folder_cut_or_absent(folder, tmp_path):
    shutil.copy(folder / "config.json", tmp_path)
    path = tmp_path / "model.safetensors"
    refused(lambda: load_backbone(tmp_path), f"{path}: absent")
    path.write_bytes((folder / "model.safetensors").read_bytes()[:-1])
    refused(lambda: load_backbone(tmp_path), f"{path}: incomplete")
    (tmp_path / "config.json").write_text('{"model_type": "ast"}')
    refused(lambda: load_backbone(tmp_path), "config.json: model_type: 'ast' is none of eat, beats")


HUB = """
from nearfar.backbones import source as backbone
from nearfar import errors
try:
    print(backbone.resolve("owner/name", revision={commit!r}, file="part/small.pt"))
except errors.NearfarError as error:
    print(error)
"""


def test_hub_cache(tmp_path, checkpoint):
    def resolved():
        environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
        run = [sys.executable, "-c", HUB.format(commit=COMMIT)]
        return subprocess.run(run, capture_output=True, text=True, env=environment, timeout=60).stdout.strip()

    said = resolved()
    assert "not in the hub's cache" in said and "put its part/small.pt into a folder" in said and "\n" not in said
    snapshot = tmp_path / "hub/models--owner--name/snapshots" / COMMIT
    (snapshot / "part").mkdir(parents=True)
    shutil.copy(checkpoint, snapshot / "part/small.pt")
    assert resolved() == str(snapshot / "part/small.pt")


# --- extraction


def test_a_clip_does_not_depend_on_its_batch(model):
    generator = np.random.default_rng(0)
    clips = [(str(n), generator.normal(0, 0.1, n).astype(np.float32)) for n in (8000, 8100, 16000, 8000, 8000)]
    alone = list(embed.embeddings(model, clips, batch=1))
    for batch in (2, 8):
        for (a, x), (b, y) in zip(alone, embed.embeddings(model, clips, batch=batch), strict=True):
            assert a == b and x.shape == (96,) and np.abs(x - y).max() <= 1e-5 * np.abs(x).max()


def test_pooling(model, waves):
    with torch.no_grad():
        tokens = model(model.inputs(waves))  # (3, 48, 48): 6 columns, of 98 frames
        columns = tokens.reshape(3, 6, 8, 48).mean(2)
        wanted = {
            "columns": torch.cat([columns.mean(1), columns.std(1, correction=0)], 1),
            "patches": torch.cat([tokens.mean(1), tokens.std(1, correction=0)], 1),
        }
        rows = tokens.reshape(3, 6, 8 * 48)
        wanted["bands"] = torch.cat([rows.mean(1), rows.std(1, correction=0)], 1)
    for name in POOLINGS:
        clips = [(str(n), wave.numpy()) for n, wave in enumerate(waves)]
        vectors = [vector for _, vector in embed.embeddings(model, clips, pooling=name)]
        agree(np.stack(vectors), wanted[name.removeprefix("all_")])  # there is no padding to leave out


def test_embed_machine(folder, tmp_path):
    generator = np.random.default_rng(0)
    clips = [tmp_path / f"section_00_{n}.wav" for n in range(3)]
    for clip in clips:
        soundfile.write(clip, generator.normal(0, 0.1, (8000, 2)), 16000, subtype="PCM_16")
    outputs = {"near": tmp_path / "near.parquet", "far": tmp_path / "far.parquet"}
    embed.embed_machine(write_files(clips, tmp_path / "clips"), folder, outputs, made="a", layers=[1, 2], batch=2)
    model = load_backbone(folder)
    for channel, path in enumerate(outputs.values()):
        names, vectors = read_vectors(path)
        assert list(names) == [clip.name for clip in clips]
        waves = [(clip.name, soundfile.read(clip, dtype="float32")[0][:, channel]) for clip in clips]
        agree(vectors, np.stack([vector for _, vector in embed.embeddings(model, waves, layers=[1, 2])]))


def test_embeddings_refuse(model):
    wave = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    refused(lambda: list(embed.embeddings(model, [("a.wav", wave[:2000])])), "a.wav: clip of 2000 samples is shorter")
    refused(lambda: list(embed.embeddings(model, [("a.wav", wave)], layers=[3])), "layers: [3]")


# --- variants of EAT


@pytest.mark.parametrize(
    "config",
    [
        {"embed_dim": 32, "depth": 2, "num_heads": 2, "model_variant": "finetune", "num_classes": 5},
        {"embed_dim": 128, "depth": 5, "num_heads": 2, "mlp_ratio": 4.0},  # as large: heads of 64, twice the depth
    ],
    ids=["fine-tuned", "large-like"],
)
def test_eat_variants(config, waves, tmp_path):
    config = {"max_length": 16} | config
    backbone.fetch("untrained", tmp_path / "made", family="eat", config=config)
    backbone.fetch(tmp_path / "made", tmp_path / "linked", family="eat")
    model = load_backbone(tmp_path / "linked")
    assert isinstance(model, eat.EAT) and len(model.blocks) == config["depth"]
    assert hasattr(model, "head") == (config.get("model_variant") == "finetune")
    clips = [("a.wav", waves[0].numpy())]
    layers = list(range(1, config["depth"] + 1))
    _, frames, tokens = next(embed.token_batches(model, clips, layers))
    assert frames == [98] and tokens.shape == (1, 1 + 7 * 8, config["embed_dim"])
    each = torch.stack([next(embed.token_batches(model, clips, [layer]))[2] for layer in layers])
    agree(tokens, each.mean(0))


@pytest.mark.slow
def test_imports_stay_light(tmp_path):
    backbone.fetch(
        "untrained", tmp_path, family="eat", config={"embed_dim": 32, "depth": 1, "num_heads": 2, "max_length": 16}
    )
    code = f"""import sys; from nearfar.backbones.base import load_backbone
load_backbone({str(tmp_path)!r})
assert not {{"openbeats", "nearfar.backbones.beats", "transformers"}} & set(sys.modules)
import nearfar.backbones.beats
assert not {{"openbeats", "transformers"}} & set(sys.modules)"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_workflow_runs_with_it(project, checkpoint):
    project.config["features"]["beats"] = {
        "channels": ["near", "far"],
        "backbone": {"name": str(checkpoint.parent), "file": checkpoint.name},
        "pooling": "columns",
        "layers": [1, 2],
        "batch": 8,
        "precision": "float32",
    }
    project.config["detectors"]["raw"] = {"method": "mahalanobis", "views": ["beats/near"]}
    project.config["detectors"]["knn"] = {"method": "knn", "views": ["beats/far"]}
    project.save()
    done = project.run("results/two/eval.csv")
    assert done.returncode == 0, done.stdout
    files, vectors = read_vectors(project.folder / "results/features/beats/far/alpha.parquet")
    clips = sorted((project.folder / "data/alpha").glob("*/*.wav"), key=lambda path: path.name)
    assert list(files) == [clip.name for clip in clips]
    waves = list(embed.channel_waves(clips, ["far"]))
    agree(vectors, np.stack([vector for _, vector in embed.embeddings(BEATs.load(checkpoint), waves, layers=[1, 2])]))
