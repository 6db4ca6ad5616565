"""What all families share, and a third one: one file and one line of the dict, in the library and in the workflow."""

import copy
import json

import numpy as np
import pytest
import torch
import yaml
from conftest import CONFIG, ROOT, write_files, write_machine

import nearfar.backbones
from nearfar import cli, settings
from nearfar.backbones import families
from nearfar.backbones.base import Backbone, load_backbone
from nearfar.backbones.embed import embed_machine
from nearfar.backbones.source import fetch
from nearfar.data.audio import read_clip
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_vectors

LINE = '    "toy": "Toy",\n'
FILE = '''"""A third family: patches, one layer, and two tokens before the patches that no pooling may see."""

import torch
from torch import nn

from nearfar.backbones.base import Backbone
from nearfar.backbones.fbank import PATCH, fbank


class Toy(Backbone):
    family, defaults, leading = "toy", {"dim": 4, "scale": 0.1}, 2
    depth = 1

    def __init__(self, config):
        super().__init__(config)
        self.patches = nn.Conv2d(1, self.settings["dim"], PATCH, PATCH)
        self.layer = nn.Linear(self.settings["dim"], self.settings["dim"])

    def states(self, mels):
        x = self.patches(mels).flatten(2).transpose(1, 2)
        x = torch.cat([torch.full_like(x[:, :2], 1e6), x], 1)
        yield x
        yield x + self.layer(x).tanh()

    def input_length(self, frames):
        return frames // PATCH * PATCH

    def inputs(self, waves, length=None):
        mels = torch.stack([fbank(wave) for wave in waves])[:, None] * self.settings["scale"]
        return mels[:, :, : self.input_length(mels.shape[2]) if length is None else length]
'''
FEATURE = {
    "channels": ["near"],
    "backbone": {"name": "untrained", "config": {"dim": 6}},
    "pooling": "columns",
    "layers": None,
    "batch": 4,
    "precision": "float32",
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The class of the third family, whose file lies in a folder of its own."""
    (tmp_path / "family").mkdir()
    (tmp_path / "family/toy.py").write_text(FILE)
    monkeypatch.setattr(nearfar.backbones, "__path__", [*nearfar.backbones.__path__, str(tmp_path / "family")])
    monkeypatch.setitem(families.FAMILIES, "toy", "Toy")
    return families.family_class("toy")


def refused(call, *words):
    with pytest.raises(NearfarError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


# --- a third family


def test_it_embeds_as_the_others_do(toy, tmp_path, capsys):
    write_machine(tmp_path / "data", "alpha")
    clips = sorted((tmp_path / "data/alpha").glob("*/*.wav"), key=lambda clip: clip.name)
    fetch("untrained", tmp_path / "toy", family="toy", config={"dim": 6}, seed=3)
    assert json.loads((tmp_path / "toy/config.json").read_text()) == {"model_type": "toy", "dim": 6}
    model = load_backbone(tmp_path / "toy")
    assert type(model) is toy and isinstance(model, Backbone)

    tables = write_files(clips, tmp_path / "clips")
    embed_machine(tables, tmp_path / "toy", {"far": tmp_path / "far.parquet"}, made="a", layers=[0, 1])
    files, vectors = read_vectors(tmp_path / "far.parquet")
    assert list(files) == [clip.name for clip in clips]
    wave = torch.from_numpy(read_clip(clips[0])[:, 1])
    with torch.no_grad():
        mean = torch.stack(list(model.states(model.inputs([wave])))).mean(0)[0, 2:]
    columns = mean.reshape(-1, 8, 6).mean(1)  # 48 frames are 3 whole columns: all are real
    wanted = torch.cat([columns.mean(0), columns.std(0, correction=0)])
    assert len(columns) == 3 and np.allclose(vectors[0], wanted, atol=1e-6)

    command = ["embed", str(clips[0]), "--channel", "far", "--backbone", str(tmp_path / "toy")]
    assert cli.main([*command, "--out", str(tmp_path / "out.npz"), "--tokens"]) == 0, capsys.readouterr()
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["tokens"].shape == (1, 2 + 3 * 8, 6) and arrays["embedding"].shape == (1, 12)


def test_it_refuses_as_the_others_do(toy, tmp_path):
    toy.untrained({}, 0).save(tmp_path)
    refused(lambda: load_backbone(tmp_path).check_layers([2]), "layers: [2]", "0 … 1 of this Toy")
    refused(lambda: toy.untrained({"width": 4}, 0), "unknown key 'width'", "dim, scale")
    for wrong in ({"dim": 0}, {"dim": "4"}, {"scale": float("nan")}):
        refused(lambda wrong=wrong: toy.untrained(wrong, 0), f"backbone config: {next(iter(wrong))}: ")
    refused(lambda: toy.load(tmp_path / "absent.pt"), "absent.pt: no such folder", "Toy")
    refused(lambda: load_backbone(tmp_path).pool(torch.ones(1, 10, 4), 16, "max"), "pooling: 'max'", "all_patches")


@pytest.mark.slow
def test_the_workflow_runs_with_one_file_and_one_line(project):
    code = project.folder / "src/nearfar/backbones"
    (code / "toy.py").write_text(FILE)
    known = (code / "families.py").read_text()
    (code / "families.py").write_text(known.replace('    "beats": "BEATs",\n', f'    "beats": "BEATs",\n{LINE}'))
    project.config["features"]["toy"] = FEATURE
    project.config["detectors"]["raw"] = {"method": "mahalanobis", "views": ["toy/near"]}
    project.save()
    jobs = project.planned("results/two/eval.csv")
    assert {("toy_backbone", ""), ("toy", "machine=alpha"), ("toy", "machine=beta")} <= jobs
    assert not {rule for rule, _ in jobs} & {"backbone", "eat", "beats"}

    done = project.run("results/scores/raw/alpha.parquet")
    assert done.returncode == 0, done.stdout
    assert json.loads((project.folder / "results/models/toy/config.json").read_text()) == {
        "model_type": "toy",
        "dim": 6,
    }
    _, vectors = read_vectors(project.folder / "results/features/toy/near/alpha.parquet")
    assert vectors.shape == (20, 12) and np.isfinite(vectors).all() and np.abs(vectors).max() < 1e3

    before = project.planned("results/features/eat/far/alpha.parquet")
    (code / "toy.py").write_text(FILE.replace("tanh", "relu"))
    assert ("toy", "machine=alpha") in project.planned("results/scores/raw/alpha.parquet")
    assert project.planned("results/features/eat/far/alpha.parquet") == before


# --- the family of a backbone


def test_config_json_names_the_family(tmp_path):
    for config, family in (({}, "eat"), ({"model_type": "eat"}, "eat"), ({"model_type": "beats"}, "beats")):
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert families.family_of(tmp_path) == family
    assert families.family_of(tmp_path / "any.pt") == "beats"
    for wrong in ("toy", None, ["eat"]):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": wrong}))
        refused(lambda: families.family_of(tmp_path), f"config.json: model_type: {wrong!r} is none of eat, beats")
    (tmp_path / "config.json").write_text("[" * 100_000)
    refused(lambda: families.family_of(tmp_path), "config.json: not readable as JSON (not JSON (lists and objects")


def test_a_backbone_of_another_family_is_refused(tmp_path):
    tiny = ROOT / "tests/data/eat-tiny"
    refused(lambda: fetch(tiny, tmp_path / "out", family="beats"), str(tiny), "features.eat, not features.beats")
    (tmp_path / "some.pt").write_bytes(b"not read")
    refused(lambda: fetch(tmp_path / "some.pt", tmp_path / "out", family="eat"), "features.beats, not features.eat")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adapter": None}, "features.beats: Additional properties are not allowed ('adapter'"),
        ({"pooling": "max"}, "features.beats.pooling: 'max'"),
        ({"bands": ["pair"]}, "features.beats.bands.0: 'pair'"),
        ({"batch": 0}, "features.beats.batch: 0"),
        ({"backbone": {"file": "a.pt"}}, "features.beats.backbone: 'name'"),
    ],
)
def test_settings_of_a_family_are_checked(changes, words):
    schema = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
    config = copy.deepcopy(CONFIG)
    config["features"]["beats"] = FEATURE
    settings.check(config, schema)
    config["features"]["beats"] = FEATURE | changes
    refused(lambda: settings.check(config, schema), words)
