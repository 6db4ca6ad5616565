"""What is there already is not computed again, and what comes of it is what a fresh run makes, to the byte."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT, noise, params_of, write_clips, write_machine

from nearfar.backbones import embed
from nearfar.backbones.base import load_backbone
from nearfar.data.clips import read_clips
from nearfar.detectors import detection
from nearfar.detectors.crossfit import CrossFit
from nearfar.detectors.detection import detect_machine
from nearfar.features.files import renew
from nearfar.jobs.files import read_vectors, write_text, write_vectors


@pytest.fixture
def machine(tmp_path):
    """The folder of a machine of 12 training and 4 test clips."""
    write_machine(tmp_path / "data", "fan", test=1)
    return tmp_path / "data/fan"


def vector_of(file, content):
    """A vector that depends on a clip's name and content alone."""
    return np.random.default_rng([*file.encode(), *content[:8].encode()]).standard_normal(6)


class Renewal:
    """Two feature files below ``folder``, renewed; it keeps the names of the clips that each call computed."""

    def __init__(self, folder):
        self.paths, self.computed = {name: Path(folder, f"{name}.parquet") for name in ("near", "bands_near")}, []

    def __call__(self, machine, made="a"):
        def compute(chosen):
            self.computed += list(chosen["file"])
            for key in zip(chosen["file"], chosen["content"], strict=True):
                yield [vector_of(*key), np.stack([vector_of(*key)] * 3)]

        self.computed = []
        renew(read_clips(write_clips("fan", machine, machine.parent)), self.paths, made, compute)
        return [path.read_bytes() for path in self.paths.values()]


@pytest.fixture
def renewed(tmp_path):
    return Renewal(tmp_path / "kept")


def fresh(machine, tmp_path, made="a"):
    return Renewal(tmp_path / "fresh")(machine, made)


def added(machine):
    path = machine / "test/section_00_source_test_normal_0000_a.wav"
    soundfile.write(path, noise(("added",)), 16000, subtype="PCM_16")
    return [path.name]


def removed(machine):
    sorted((machine / "test").iterdir())[1].unlink()
    return []


def replaced(machine):
    path = sorted((machine / "train").iterdir())[3]
    soundfile.write(path, noise(("replaced",)), 16000, subtype="PCM_16")
    return [path.name]


def renamed(machine):
    path = sorted((machine / "test").iterdir())[0]
    return [path.rename(path.with_name(path.name.replace("0000", "0009"))).name]


def swapped(machine):
    one, two, *_ = sorted((machine / "test").iterdir())
    content = one.read_bytes()
    one.write_bytes(two.read_bytes()), two.write_bytes(content)
    return [one.name, two.name]


@pytest.mark.parametrize("change", [added, removed, replaced, renamed, swapped])
def test_a_renewed_file_is_a_fresh_one_and_only_new_clips_are_computed(machine, renewed, tmp_path, change):
    renewed(machine)
    assert len(renewed.computed) == 16
    expected = change(machine)
    assert renewed(machine) == fresh(machine, tmp_path)
    assert sorted(renewed.computed) == sorted(expected)


def test_touched_and_unchanged_clips_are_not_computed_and_change_no_byte(machine, renewed):
    before = renewed(machine)
    for path in machine.glob("*/*"):
        path.touch()
    assert renewed(machine) == before and renewed.computed == []


def test_other_settings_models_or_code_compute_all_anew(machine, renewed, tmp_path):
    before = renewed(machine)
    other = renewed(machine, made="b")
    assert len(renewed.computed) == 16 and other == fresh(machine, tmp_path, made="b") != before
    assert renewed(machine) == before and len(renewed.computed) == 16


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def emptied(path):
    path.write_bytes(b"")


def without_its_middle(path):
    data = bytearray(path.read_bytes())
    data[8:200] = bytes(192)
    path.write_bytes(data)


def another_kind(path):
    write_text(path, "nearfar could not make this: x")


def of_yesterday(path):
    write_vectors(path, *read_vectors(path))


def absent(path):
    path.unlink()


@pytest.mark.parametrize("damage", [cut, emptied, without_its_middle, another_kind, of_yesterday, absent])
@pytest.mark.parametrize("which", ["near", "bands_near"])
def test_a_file_that_is_not_whole_or_not_ours_is_made_anew(machine, renewed, which, damage):
    before = renewed(machine)
    damage(renewed.paths[which])
    assert renewed(machine) == before and len(renewed.computed) == 16


def test_a_failure_leaves_the_old_files(machine, renewed):
    before = renewed(machine)
    replaced(machine)
    clips = read_clips(write_clips("fan", machine, machine.parent))

    def compute(_):
        raise ValueError("a clip that cannot be used")
        yield

    with pytest.raises(ValueError, match="cannot be used"):
        renew(clips, renewed.paths, "a", compute)
    assert [path.read_bytes() for path in renewed.paths.values()] == before


# --- what makes it exact


@pytest.mark.parametrize("model", ["resources/eat-small", "tests/data/eat-tiny"])
@pytest.mark.parametrize("pooling", ["columns", "bands"])
def test_an_embedding_is_the_same_to_the_bit_whatever_else_is_in_its_batch(model, pooling):
    rng, model = np.random.default_rng(0), load_backbone(ROOT / model)
    for seconds in (1, 4):
        waves = [(str(n), rng.normal(0, 0.1, 16000 * seconds).astype(np.float32)) for n in range(6)]
        alone = dict(embed.embeddings(model, waves, pooling, batch=1))
        for order, batch in ((range(6), 3), (range(6), 8), ((5, 0, 3, 1), 4)):
            for key, vector in embed.embeddings(model, [waves[n] for n in order], pooling, batch=batch):
                np.testing.assert_array_equal(vector, alone[key])


# --- fits


class Detection:
    """A detector's job on a machine, whose features are of its clips alone; it counts the fits."""

    def __init__(self, folder, monkeypatch, method):
        self.outputs = {name: Path(folder, name) for name in ("fits", "scores", "normalized")}
        self.view, self.method, self.fits = Path(folder, "view"), method, 0
        fit = CrossFit.fit

        def counted(*given):
            self.fits += 1
            return fit(*given)

        monkeypatch.setattr(detection.CrossFit, "fit", counted)

    def __call__(self, machine, made="a", seed=0, **params):
        tables = write_clips("fan", machine, machine.parent)
        clips = read_clips(tables)
        vectors = list(map(vector_of, clips["file"], clips["content"]))
        write_vectors(self.view, clips["file"], vectors)
        params = params_of(self.method, **params)
        about = {
            "machine": "fan",
            "detector": "d",
            "folds": 2,
            "few": "refuse",
            "seed": seed,
            "method": self.method,
            "params": params,
        }
        about |= {"normalization": {"pseudo_clips": 5, "reference": "domain"}, "made": f"{made} {seed} {params}"}
        self.fits = 0
        detect_machine(tables, [self.view], self.outputs, **about)
        return [path.read_bytes() for path in self.outputs.values()]


@pytest.fixture(params=["mahalanobis", "knn", "flow"])
def detected(request, tmp_path, monkeypatch):
    small = {"flow": {"components": 2, "epochs": 2, "layers": 2}}.get(request.param, {})
    run = Detection(tmp_path / "kept", monkeypatch, request.param)
    return lambda *given, at=run, **params: (at(*given, **(small | params)), at.fits)


@pytest.fixture
def detected_fresh(detected, tmp_path, monkeypatch, request):
    def run(machine, **params):
        method = request.node.callspec.params["detected"]
        return detected(machine, at=Detection(tmp_path / "fresh", monkeypatch, method), **params)[0]

    return run


@pytest.mark.parametrize("change", [added, removed, renamed, swapped])
def test_other_test_clips_use_the_fit_that_is_there(machine, detected, detected_fresh, change):
    before, fits = detected(machine)
    assert fits == 1
    change(machine)
    after, fits = detected(machine)
    assert fits == 0 and after[0] == before[0] and after[1:] != before[1:]
    assert after == detected_fresh(machine)


def another_training_clip(machine):
    path = sorted((machine / "train").iterdir())[0]
    shutil.copy(path, path.with_name(path.name.replace("0000", "0099")))


@pytest.mark.parametrize("change", [replaced, another_training_clip])
def test_other_training_clips_are_fitted_again(machine, detected, detected_fresh, change):
    before, _ = detected(machine)
    change(machine)
    after, fits = detected(machine)
    assert fits == 1 and after[0] != before[0] and after == detected_fresh(machine)


@pytest.mark.parametrize("other", [{"made": "b"}, {"seed": 1}])
def test_other_settings_or_code_are_fitted_again(machine, detected, detected_fresh, other):
    detected(machine)
    after, fits = detected(machine, **other)
    assert fits == 1 and after == detected_fresh(machine, **other)
    assert detected(machine, **other) == (after, 0)


@pytest.mark.parametrize("damage", [cut, emptied, another_kind, absent])
def test_a_fit_that_is_not_whole_is_fitted_again(machine, detected, tmp_path, damage):
    before, _ = detected(machine)
    damage(tmp_path / "kept/fits")
    assert detected(machine) == (before, 1)
