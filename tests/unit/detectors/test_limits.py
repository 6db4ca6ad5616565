"""Machines with few training clips: what is capped, what is said of it, and that every detector runs."""

import re

import numpy as np
import pytest
from conftest import CONFIG, params_of

from nearfar.data.domains import settled
from nearfar.detectors.crossfit import CrossFit, load
from nearfar.detectors.detection import detect_machine
from nearfar.detectors.folds import fold_of
from nearfar.detectors.limits import FLOOR, Fit, capped, changes, training_clips
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_about, read_table, write_table, write_vectors
from nearfar.settings import parameters_of
from nearfar.systems.machine import fuse_machine, limits_of

TEST = 4  # clips
DIMS = {"eat": 1536, "eat_bands": 12288, "lccr": 128, "rtf": 128, "logmel": 256, "classifier": 256}
DIMS |= {"spectrum": 256, "modulation": 768}
MEMBERS = {
    "flow": Fit("flow", params_of("flow"), 3, False),
    "c1": Fit("predictive", params_of("predictive"), 5, False),
    "spatial": Fit("mahalanobis", params_of("mahalanobis"), 5, False),
    "knn": Fit("knn", params_of("knn"), 5, False),
    "whitened": Fit("whitened", params_of("whitened"), 5, False),
    "classifier": Fit("knn", params_of("knn"), 3, True),
}


def domains(source, target):
    return np.array(["source"] * source + ["target"] * target)


def held(fit, domain, recording=None):
    """A fit as clips allow it, each a recording by itself unless ``recording`` tells otherwise."""
    files = np.array([f"{i:04d}" for i in range(len(domain))])
    return capped(fit, files, domain, files if recording is None else recording, 0)


def of_capped(source, target):
    """What is capped of MEMBERS: a dict from detector to folds and components."""
    found = {name: held(fit, domains(source, target)) for name, fit in MEMBERS.items()}
    return {name: (fit.folds, fit.params.get("components")) for name, fit in found.items()}


def test_many_clips_are_left_as_they_are():
    assert {name: held(fit, domains(990, 10)) for name, fit in MEMBERS.items()} == MEMBERS


@pytest.mark.parametrize(
    ("source", "target", "flow", "c1", "spatial"),
    [
        (12, 0, (3, 6), (5, 6), (5, None)),  # 8 and 9 clips are seen: two fewer, three fewer
        (0, 12, (3, 6), (5, 6), (5, None)),
        (20, 3, (3, 13), (3, 11), (3, None)),  # 23 less 7 and 1: 15 seen, three quarters of them
        (20, 2, (2, 9), (2, 8), (2, None)),  # 22 less 10 and 1
        (9, 1, (3, 4), (5, 5), (5, None)),  # ten clips of one domain, of which 6 and 8 are seen
    ],
)
def test_folds_and_components_are_what_the_clips_allow(source, target, flow, c1, spatial):
    found = of_capped(source, target)
    assert (found["flow"], found["c1"], found["spatial"]) == (flow, c1, spatial)
    assert found["knn"] == found["whitened"] == (5, None), "it leaves one out by itself"
    assert found["classifier"] == (3, None), "the folds of its embeddings"


@pytest.mark.parametrize("target", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("folds", [2, 3, 5, 9, 40])
@pytest.mark.parametrize("method", ["flow", "predictive"])
def test_the_cap_is_the_most_that_the_smallest_fit_takes(method, folds, target):
    """One component more is refused: the cap gives nothing away."""
    domain = settled(domains(14 - target, target))
    files, view = np.array([f"{i:02d}" for i in range(14)]), np.random.default_rng(0).standard_normal((14, 60))
    views = [view] * (1 + (method == "predictive"))
    epochs = {"epochs": 1} if method == "flow" else {}
    fit = held(Fit(method, params_of(method, components=64, **epochs), folds, False), domain)
    scores = CrossFit(method, fit.params, fit.folds, 0).fit(files, domain, views).training_scores(views)
    assert np.isfinite(scores).all() and fit.params["components"] >= 1
    more = fit.params | {"components": fit.params["components"] + 1}
    with pytest.raises(NearfarError, match=f"set it to at most {fit.params['components']}$"):
        CrossFit(method, more, fit.folds, 0).fit(files, domain, views)


@pytest.mark.parametrize("method", ["flow", "predictive"])
@pytest.mark.parametrize("lengths", [[40], [13, 13, 14], [3, 30, 3, 2, 2], [8, 8, 8, 8, 8]])
def test_of_windows_the_cap_is_what_the_smallest_fit_of_blocks_takes(method, lengths):
    recording = np.repeat([f"{i}.flac" for i in range(len(lengths))], lengths)
    files, domain = np.array([f"{i:04d}" for i in range(40)]), domains(40, 0)
    views = [np.random.default_rng(0).standard_normal((40, 60))] * (1 + (method == "predictive"))
    epochs = {"epochs": 1} if method == "flow" else {}
    fit = held(Fit(method, params_of(method, components=64, **epochs), 5, False), domain, recording)
    CrossFit(method, fit.params, fit.folds, 0).fit(files, domain, views, "cap", recording)
    more = fit.params | {"components": fit.params["components"] + 1}
    with pytest.raises(NearfarError, match=f"set it to at most {fit.params['components']}$"):
        CrossFit(method, more, fit.folds, 0).fit(files, domain, views, "cap", recording)


def test_what_changed_and_of_how_many_clips_is_told_in_words():
    before = MEMBERS["c1"]
    after = held(before, domains(20, 3))
    assert changes(before, after) == ["folds 3 instead of 5", "components 11 instead of 64"]
    assert training_clips(domains(20, 3)) == "20 source-domain and 3 target-domain training clips"
    for name in ("knn", "classifier"):
        assert changes(MEMBERS[name], held(MEMBERS[name], domains(12, 0))) == []


def test_a_domain_of_one_clip_is_counted_to_the_other_with_a_word():
    said = "12 source-domain training clips (the one target-domain clip is counted to the other domain)"
    assert training_clips(domains(11, 1)) == said
    assert list(settled(domains(1, 11))) == ["target"] * 12
    assert list(settled(domains(10, 2))) == [*domains(10, 2)] and list(settled(domains(1, 1))) == ["source", "target"]


def test_fewer_clips_than_the_floor_are_refused():
    held(MEMBERS["flow"], domains(FLOOR, 0))
    with pytest.raises(NearfarError, match="^9 training clips, at least 10 are needed; add some$"):
        held(MEMBERS["flow"], domains(FLOOR - 3, 2))


def test_what_there_is_is_dealt_where_the_folds_are_given():
    files = np.array([f"{i:02d}" for i in range(12)])
    fold = fold_of(files, domains(10, 2), files, 3, 0, "cap")
    assert sorted(fold[10:]) == [0, 1] and (np.bincount(fold[:10]) >= 3).all()
    given = files, domains(9, 3), files, 3, 0
    assert np.array_equal(fold_of(*given, "cap"), fold_of(*given))


def view_of(name, count, both):
    """Random features of the size that a view has, with an offset as real ones have."""
    feature = name.split("/")[0]
    dims = 2 + both if feature == "autoencoder" else DIMS[feature]
    shape = (count, CONFIG["features"]["classifier"]["folds"], dims) if feature == "classifier" else (count, dims)
    random = np.random.default_rng(list(name.encode()))
    return (5 + random.standard_normal(shape) * random.uniform(0.1, 2, dims)).astype(np.float32)


def detected(folder, name, source, target, few="cap"):
    """Run a shipped detector on a machine from file to file; return its paths."""
    train = source + target
    files = np.array([f"{i:02d}.wav" for i in range(train + TEST)], object)
    domain = np.array([*domains(source, target), *[None] * TEST], object)
    split = np.repeat(np.array(["train", "test"], object), [train, TEST])
    write_table(folder / "clips", {"file": files, "recording": files, "domain": domain, "split": split})
    about = CONFIG["detectors"][name]
    views = [folder / f"{i}" for i in range(len(about["views"]))]
    for path, view in zip(views, about["views"], strict=True):
        write_vectors(path, files, view_of(view, train + TEST, target > 1))
    outputs = {kind: folder / kind for kind in ("fits", "scores", "normalized")}
    detect_machine(
        [folder / "clips"],
        views,
        outputs,
        machine="pump",
        detector=name,
        method=about["method"],
        params=parameters_of(CONFIG, name),
        folds=about.get("folds", CONFIG["folds"]),
        few=few,
        seed=0,
        normalization=CONFIG["normalization"] | about.get("normalization", {}),
        made="a",
    )
    return outputs


@pytest.mark.parametrize(("source", "target"), [(12, 0), (20, 3), (11, 1), (8, 2)])
@pytest.mark.parametrize("name", CONFIG["detectors"])
def test_every_shipped_detector_runs_on_few_clips(tmp_path, capsys, name, source, target):
    outputs = detected(tmp_path, name, source, target)
    scores, normalized = read_table(outputs["scores"]), read_table(outputs["normalized"])["score"]
    one = target < 2 or name == "baseline_mse"
    assert scores.keys() - {"file", "split"} == ({"score"} if one else {"source", "target"})
    assert np.isfinite(normalized).all() and len(np.unique(normalized[-TEST:])) == TEST
    said = limits_of({name: outputs["normalized"]})
    assert not said or said.startswith(f"pump: {source + (target == 1)} source-domain ")
    assert ("components" in said) == hasattr(load(CONFIG["detectors"][name]["method"]), "at_most")
    assert capsys.readouterr().err == "", "a line a machine, and none a detector"


def test_what_was_capped_stands_in_the_fit(tmp_path):
    about = read_about(detected(tmp_path, "c1", 12, 0)["fits"])
    assert about["params"]["components"] == 6 and about["fitted"] == 5


def test_one_line_a_machine_says_all_that_was_capped_of_a_system(tmp_path, capsys):
    normalized = {}
    for name in ("c1", "flow", "knn", "raw"):
        (tmp_path / name).mkdir()
        normalized[name] = detected(tmp_path / name, name, 20, 3)["normalized"]
    system = {"weights": dict.fromkeys(normalized, 0.25), "ranks": "train"}
    decision = {"percentile": 90, "false_alarm": None, "fdr": None}
    fuse_machine(normalized, tmp_path / "scores", tmp_path / "training", system=system, decision=decision)
    assert capsys.readouterr().err == (
        "nearfar: pump: 20 source-domain and 3 target-domain training clips: folds 3 instead of 5 in c1, raw; "
        "components 11 instead of 64 in c1; components 13 instead of 64 in flow\n"
    )
    assert limits_of({"knn": normalized["knn"]}) == ""


@pytest.mark.parametrize(
    ("name", "source", "target", "message"),
    [
        ("flow", 12, 0, "params.components: 64 principal components need more clips or dimensions than 8 × 1536"),
        ("spatial", 20, 3, "folds: 5 folds need as many target-domain training clips, there are 3; lower folds"),
        ("classifier", 20, 1, "folds: 3 folds need as many target-domain training clips, there are 1; lower folds"),
    ],
)
def test_without_the_cap_the_challenge_is_refused_as_ever(tmp_path, name, source, target, message):
    with pytest.raises(NearfarError, match=re.escape(f"pump: detectors.{name}: {message}")):
        detected(tmp_path, name, source, target, few="refuse")


def test_below_the_floor_machine_and_detector_are_named(tmp_path):
    with pytest.raises(
        NearfarError, match=r"^pump: detectors\.raw: 9 training clips, at least 10 are needed; add some"
    ):
        detected(tmp_path, "raw", 6, 3)
