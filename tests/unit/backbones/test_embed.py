"""Backbones, streaming extraction and ``nearfar embed``."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT, write_files

from nearfar import cli
from nearfar.backbones import embed
from nearfar.backbones import source as backbone
from nearfar.backbones.base import POOLINGS
from nearfar.backbones.eat import EAT
from nearfar.data.places import read_place
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_vectors

DATA = ROOT / "tests/data"
TINY = DATA / "eat-tiny"
SHA256 = hashlib.sha256((TINY / "model.safetensors").read_bytes()).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def oracle():
    with np.load(DATA / "eat_oracle.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def model():
    return EAT.load(TINY)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Five near/far clips of two lengths, and the folder that holds them."""
    folder = tmp_path_factory.mktemp("clips")
    generator = np.random.default_rng(0)
    for number, seconds in enumerate([0.5, 0.5, 0.7, 0.5, 0.5]):
        wave = generator.normal(0, 0.1, (int(16000 * seconds), 2))
        soundfile.write(folder / f"section_00_{number}.wav", wave, 16000, subtype="PCM_16")
    return sorted(folder.iterdir())


def near(clips):
    return ((path.name, soundfile.read(path, dtype="float32")[0][:, 0]) for path in clips)


def refused(call, *words):
    with pytest.raises(NearfarError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


# --- backbones


def test_fetch_links_a_local_folder(tmp_path):
    backbone.fetch(str(TINY), tmp_path / "out", family="eat", sha256=SHA256.upper())
    weights = tmp_path / "out" / "model.safetensors"
    assert weights.is_symlink() and weights.resolve() == (TINY / "model.safetensors").resolve()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["embed_dim"] == 96
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    backbone.fetch(str(TINY), tmp_path / "out", family="eat")  # again, over the link
    backbone.fetch(tmp_path / "out", tmp_path / "out", family="eat")  # onto itself
    assert len(EAT.load(tmp_path / "out").blocks) == 3


def test_fetch_untrained(tmp_path):
    config = {"embed_dim": 32, "depth": 1, "num_heads": 2, "max_length": 16}
    for folder in "ab":
        backbone.fetch("untrained", tmp_path / folder, family="eat", config=config, seed=7)
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
    assert len(EAT.load(tmp_path / "a").blocks) == 1


def test_wrong_sha256(tmp_path):
    refused(
        lambda: backbone.fetch(TINY, tmp_path, family="eat", sha256="0" * 64),
        "model.safetensors",
        "sha256 is " + SHA256,
    )
    assert not any(tmp_path.iterdir())


def test_incomplete_or_absent_weights(tmp_path):
    refused(lambda: backbone.resolve(tmp_path), str(tmp_path / "config.json"), "absent")
    shutil.copy(TINY / "config.json", tmp_path)
    (tmp_path / "model.safetensors").write_bytes((TINY / "model.safetensors").read_bytes()[:-1])
    refused(lambda: backbone.resolve(tmp_path), str(tmp_path / "model.safetensors"), "incomplete")
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    refused(lambda: backbone.resolve(tmp_path), str(tmp_path / "model.safetensors"), "incomplete")


def test_hub_name_must_be_pinned():
    refused(lambda: backbone.resolve("owner/name"), "'owner/name'", "needs a revision")
    refused(lambda: backbone.resolve("owner/name", revision="main"), "'main' can change")
    refused(lambda: backbone.resolve("./no/such/folder", revision=COMMIT), "no such folder")
    refused(lambda: backbone.resolve("untrained"), "no such folder")


HUB = """
from nearfar.backbones import source as backbone
from nearfar import errors
try:
    print(backbone.resolve("owner/name", revision={revision!r}, sha256={sha256!r}))
except errors.NearfarError as error:
    print(error)
"""


def test_hub_cache(tmp_path):
    def resolved(**settings):
        environment = os.environ | {"HF_HOME": str(tmp_path)} | settings
        run = [sys.executable, "-c", HUB.format(revision=COMMIT, sha256=SHA256)]
        return subprocess.run(run, capture_output=True, text=True, env=environment, timeout=60).stdout.strip()

    said = resolved(HF_HUB_OFFLINE="1")
    assert "not in the hub's cache" in said and "into a folder" in said and "\n" not in said
    snapshot = tmp_path / "hub/models--owner--name/snapshots" / COMMIT
    shutil.copytree(TINY, snapshot)
    assert resolved(HF_HUB_OFFLINE="1") == str(snapshot)
    assert resolved(HF_ENDPOINT="http://127.0.0.1:9") == str(snapshot)  # a commit in the cache needs no network


# --- embeddings


def test_a_clip_does_not_depend_on_its_batch(model, clips):
    alone = list(embed.embeddings(model, near(clips), batch=1))
    assert [key for key, _ in alone] == [path.name for path in clips]
    for batch in (2, 8):
        together = list(embed.embeddings(model, near(clips), batch=batch))
        assert [key for key, _ in together] == [key for key, _ in alone]
        for (_, a), (_, b) in zip(alone, together, strict=True):
            assert a.shape == (192,) and np.abs(a - b).max() <= 1e-5 * np.abs(a).max()


def test_clips_are_read_two_batches_ahead_and_no_further(model, oracle):
    read = []

    def stream():
        for number in range(20):
            read.append(number)
            yield str(number), np.roll(oracle["wav_clip6p3"][:8000].astype(np.float32) / 32768, number)

    for done, _ in enumerate(embed.embeddings(model, stream(), batch=4)):
        assert len(read) <= 4 * (done // 4 + 1 + 2)
    assert read == list(range(20))


def test_embedding_of_the_oracle(model, oracle):
    wave = oracle["wav_near10"].astype(np.float32) / 32768
    ((_, vector),) = embed.embeddings(model, [("near10", wave)], pooling="all_patches")
    wanted = oracle["pool_allpatch_biased"][0]
    assert np.abs(vector - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_poolings_and_layers_differ(model, oracle):
    wave = oracle["wav_near10"].astype(np.float32) / 32768  # 10 s: the one length with a column of padding only

    def first(**how):
        return next(embed.embeddings(model, [("near10", wave)], **how))[1]

    poolings = [name for name in POOLINGS if name != "bands"]
    vectors = [first(pooling=pooling) for pooling in poolings] + [first(layers=[1, 2]), first(layers=[0])]
    assert all(np.abs(a - b).max() > 1e-6 for i, a in enumerate(vectors) for b in vectors[:i])
    assert np.array_equal(first(layers=[3]), first())


def test_bands_are_the_statistics_of_each_mel_row_over_the_real_columns(model, oracle):
    tokens = torch.from_numpy(oracle["tokens"][:1])  # 10 s: 64 columns, the last of which is padding only
    rows = tokens[0, 1:].reshape(64, 8, 96)[:63].numpy().astype(np.float64)
    vector = model.pool(tokens, 998, "bands")[0].numpy()
    assert vector.shape == (2 * 8 * 96,)
    means, deviations = vector.reshape(2, 8, 96)
    np.testing.assert_allclose(means, rows.mean(0), atol=1e-5)
    np.testing.assert_allclose(deviations, np.sqrt(((rows - rows.mean(0)) ** 2).mean(0)), atol=1e-5)
    np.testing.assert_allclose(means.mean(0), model.pool(tokens, 998)[0, :96], atol=1e-5)


def test_one_pass_pools_some_signals_by_mel_row_too(model, clips, tmp_path, monkeypatch):
    batches = []
    monkeypatch.setattr(
        EAT, "patches", lambda self, mels, patches=EAT.patches: batches.append(len(mels)) or patches(self, mels)
    )
    outputs = {name: tmp_path / name for name in ("near", "far")}
    bands = {name: tmp_path / f"bands_{name}" for name in ("residual", "near")}
    outputs |= {f"bands_{name}": path for name, path in bands.items()}
    embed.embed_machine(write_files(clips, tmp_path / "clips"), TINY, outputs, made="a", batch=6)
    assert batches == [6, 3, 6]  # three signals of two clips of 0.5 s, of one of 0.7 s, and of two
    for place, channel, pooling in [
        ("near", "near", "columns"),
        ("far", "far", "columns"),
        ("bands_near", "near", "bands"),
        ("bands_residual", "residual", "bands"),
    ]:
        names, vectors = read_vectors(tmp_path / place)
        wanted = [one for _, one in embed.embeddings(model, embed.channel_waves(clips, [channel]), pooling)]
        assert list(names) == [clip.name for clip in clips] and vectors.shape == np.shape(wanted)
        assert np.abs(vectors - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_embeddings_refuse(model):
    wave = np.zeros(8000, np.float32)

    def run(wave=wave, model=model, **how):
        return lambda: list(embed.embeddings(model, [("a.wav", wave)], **how))

    refused(run(pooling="max"), "pooling: 'max'", "columns")
    refused(run(layers=[9]), "layers: [9]")
    refused(run(batch=0), "batch: 0")
    refused(run(wave[:399]), "a.wav: clip of 399 samples")
    refused(run(np.zeros(16000 * 25, np.float32)), "a.wav: clip of 2512 frames is longer than the 2048")
    broken = EAT.load(TINY)
    broken.blocks[1].norm2.weight.data[3] = torch.nan
    refused(run(model=broken), "a.wav: its tokens hold NaN")


def test_embed_machine(model, clips, tmp_path, capfd):
    outputs = {"near": tmp_path / "near" / "fan.parquet", "far": tmp_path / "far" / "fan.parquet"}
    shuffled = write_files([clips[i] for i in (3, 0, 2, 4, 1)], tmp_path / "clips")
    embed.embed_machine(shuffled, TINY, outputs, made="a", batch=3)
    for channel, path in enumerate(outputs.values()):
        names, vectors = read_vectors(path)
        assert list(names) == [clip.name for clip in clips] and vectors.shape == (5, 192)
        for clip, vector in zip(clips, vectors, strict=True):
            wave = soundfile.read(clip, dtype="float32")[0][:, channel]
            ((_, wanted),) = embed.embeddings(model, [(clip.name, wave)])
            assert np.abs(vector - wanted).max() <= 1e-5 * np.abs(wanted).max()
    said = capfd.readouterr()
    assert not said.out and not said.err  # bars are for terminals


def test_one_pass_reads_each_clip_once_and_batches_its_channels_together(clips, tmp_path, monkeypatch):
    read, batches = [], []
    monkeypatch.setattr(embed, "read_place", lambda path, channels: read.append(path) or read_place(path, channels))
    monkeypatch.setattr(
        EAT, "patches", lambda self, mels, patches=EAT.patches: batches.append(len(mels)) or patches(self, mels)
    )
    outputs = {"near": tmp_path / "near", "far": tmp_path / "far"}
    embed.embed_machine(write_files(clips, tmp_path / "clips"), TINY, outputs, made="a", batch=4)
    assert read == clips
    assert batches == [4, 2, 4]  # two clips of 0.5 s, one of 0.7 s, two of 0.5 s


def test_half_precision_is_close_and_not_the_same(clips, tmp_path):
    vectors, tables = {}, write_files(clips, tmp_path / "clips")
    for precision in ("float32", "bfloat16"):
        embed.embed_machine(tables, TINY, {"near": tmp_path / precision}, made="a", precision=precision)
        vectors[precision] = read_vectors(tmp_path / precision)[1]
    one, other = vectors.values()
    assert 1e-5 < np.abs(one - other).max() / np.abs(one).max() < 2e-2


def test_embed_machine_refuses(clips, tmp_path):
    out = {"near": tmp_path / "near.parquet", "far": tmp_path / "far.parquet"}
    tables = write_files(clips, tmp_path / "clips")
    refused(lambda: embed.embed_machine(tables, TINY, out, made="a", layers=[7]), "layers: [7]")
    mono = tmp_path / "mono.wav"
    soundfile.write(mono, soundfile.read(clips[0])[0][:, 0], 16000)
    tables = write_files([*clips, mono], tmp_path / "clips")
    refused(lambda: embed.embed_machine(tables, TINY, out, made="a"), str(mono), "1 channel")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "mono.wav"]  # nothing half-written


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there: its absence cannot be tested")
def test_absent_gpu(clips, tmp_path):
    tables, out = write_files(clips, tmp_path / "clips"), {"near": tmp_path / "a"}
    refused(lambda: embed.embed_machine(tables, TINY, out, made="a", device="cuda"), "device: 'cuda'")


@pytest.mark.slow
def test_imports_stay_light():
    heavy = "{'transformers', 'peft', 'timm', 'huggingface_hub', 'sklearn', 'pandas'} & set(sys.modules)"
    code = f"import sys, nearfar.backbones.embed; assert not {heavy}, {heavy}"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys, nearfar.cli, nearfar.backbones.source; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- the command


def command(*arguments):
    return cli.main(["embed", *map(str, arguments)])


def test_command(clips, tmp_path, oracle, capsys):
    out = tmp_path / "out.npz"
    assert (
        command(
            clips[0], clips[1], "--backbone", TINY, "--sha256", SHA256, "--channel", "far", "--tokens", "--out", out
        )
        == 0
    )
    with np.load(out) as arrays:
        assert list(arrays["file"]) == [clips[0].name, clips[1].name]
        assert arrays["embedding"].shape == (2, 192) and arrays["embedding"].dtype == np.float32
        assert arrays["tokens"].shape == (2, 1 + 3 * 8, 96)
        wanted = EAT.load(TINY).pool(torch.from_numpy(arrays["tokens"]), 48)
        assert np.allclose(arrays["embedding"], wanted, atol=1e-6)
    assert command(*clips, "--backbone", TINY, "--out", out) == 0
    with np.load(out) as arrays:
        assert arrays["embedding"].shape == (5, 192) and "tokens" not in arrays
    assert "nearfar:" not in capsys.readouterr().err


def test_command_embeds_the_residual(clips, tmp_path, model):
    out = tmp_path / "out.npz"
    assert command(*clips[:2], "--backbone", TINY, "--channel", "residual", "--out", out) == 0
    wanted = [vector for _, vector in embed.embeddings(model, embed.channel_waves(clips[:2], ["residual"]))]
    with np.load(out) as arrays:
        np.testing.assert_allclose(arrays["embedding"], wanted, atol=1e-5)


def test_command_gives_the_oracle_tokens(tmp_path, oracle):
    wav, out = tmp_path / "near10.wav", tmp_path / "out.npz"
    soundfile.write(wav, oracle["wav_near10"], 16000, subtype="PCM_16")  # mono
    assert command(wav, "--backbone", TINY, "--tokens", "--out", out) == 0
    with np.load(out) as arrays:
        assert np.abs(arrays["tokens"] - oracle["tokens"][:1]).max() <= 1e-5 * np.abs(oracle["tokens"]).max()


def test_command_refuses_in_one_line(clips, tmp_path, capsys):
    mono, slow, out = tmp_path / "mono.wav", tmp_path / "slow.wav", tmp_path / "out.npz"
    soundfile.write(mono, soundfile.read(clips[0])[0][:, 0], 16000)
    soundfile.write(slow, soundfile.read(clips[0])[0], 8000)
    for arguments, word in [
        ([mono, "--backbone", TINY, "--channel", "far"], "mono.wav"),
        ([mono, "--backbone", TINY, "--channel", "residual"], "mono.wav"),
        ([slow, "--backbone", TINY], "8000 Hz"),
        ([tmp_path / "none.wav", "--backbone", TINY], "none.wav"),
        ([clips[0], clips[2], "--tokens", "--backbone", TINY], clips[2].name),
        ([clips[0], "--backbone", "owner/name"], "revision"),
        ([clips[0], "--backbone", TINY, "--sha256", "0" * 64], "sha256"),
    ]:
        assert command(*arguments, "--out", out) == 2
        said = capsys.readouterr().err
        assert said.startswith("nearfar: ") and said.count("\n") == 1 and word in said, said
        assert not out.exists()
