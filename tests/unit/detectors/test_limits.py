"""Machines with few training clips: what is capped, what is said of it, and that every detector runs."""

import re

import numpy as np
import pytest
from conftest import CONFIG, params_of

from nearfar.data.domains import settled
from nearfar.detectors.crossfit import CrossFit, fold_of, load
from nearfar.detectors.detection import detect_machine
from nearfar.detectors.limits import FLOOR, Fit, capped
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_about, read_table, write_table, write_vectors
from nearfar.settings import parameters_of

TEST = 4  # clips
DIMS = {"eat": 1536, "eat_bands": 12288, "lccr": 128, "rtf": 128, "logmel": 256, "classifier": 256}
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


def of_capped(source, target):
    """What is capped of MEMBERS: a dict from detector to folds and components."""
    found, _ = capped(domains(source, target), MEMBERS)
    return {name: (fit.folds, fit.params.get("components")) for name, fit in found.items()}


def test_many_clips_are_left_as_they_are():
    fits, said = capped(domains(990, 10), MEMBERS)
    assert fits == MEMBERS and said == ""


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
    fits, _ = capped(domain, {"d": Fit(method, params_of(method, components=64, **epochs), folds, False)})
    fit = fits["d"]
    scores = CrossFit(method, fit.params, fit.folds, 0).fit(files, domain, views).training_scores(views)
    assert np.isfinite(scores).all() and fit.params["components"] >= 1
    more = fit.params | {"components": fit.params["components"] + 1}
    with pytest.raises(NearfarError, match=f"set it to at most {fit.params['components']}$"):
        CrossFit(method, more, fit.folds, 0).fit(files, domain, views)


def test_one_line_says_what_was_capped():
    _, said = capped(domains(20, 3), MEMBERS)
    assert said == (
        "20 source-domain and 3 target-domain training clips: flow: components 13 instead of 64; "
        "c1: folds 3 instead of 5, components 11 instead of 64; spatial: folds 3 instead of 5"
    )
    assert capped(domains(12, 0), {name: MEMBERS[name] for name in ("knn", "classifier")})[1] == ""


def test_a_domain_of_one_clip_is_counted_to_the_other_with_a_word():
    _, said = capped(domains(11, 1), {"knn": MEMBERS["knn"]})
    assert said == "12 source-domain training clips: the one target-domain clip is counted to the other domain"
    assert list(settled(domains(1, 11))) == ["target"] * 12
    assert list(settled(domains(10, 2))) == [*domains(10, 2)] and list(settled(domains(1, 1))) == ["source", "target"]


def test_fewer_clips_than_the_floor_are_refused():
    capped(domains(FLOOR, 0), MEMBERS)
    with pytest.raises(NearfarError, match="^9 training clips, at least 10 are needed; add some$"):
        capped(domains(FLOOR - 3, 2), MEMBERS)


def test_what_there_is_is_dealt_where_the_folds_are_given():
    files = np.array([f"{i:02d}" for i in range(12)])
    fold = fold_of(files, domains(10, 2), 3, 0, "cap")
    assert sorted(fold[10:]) == [0, 1] and (np.bincount(fold[:10]) >= 3).all()
    assert np.array_equal(fold_of(files, domains(9, 3), 3, 0, "cap"), fold_of(files, domains(9, 3), 3, 0))


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
    write_table(folder / "clips", {"file": files, "domain": domain, "split": split})
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
    said = capsys.readouterr().err
    assert len(said.splitlines()) <= 1 and (not said or said.startswith(f"nearfar: pump: {source + (target == 1)} "))
    assert bool(re.search("components", said)) == hasattr(load(CONFIG["detectors"][name]["method"]), "at_most")


def test_what_was_capped_stands_in_the_fit_and_is_said_when_it_is_made(tmp_path, capsys):
    fits = detected(tmp_path, "c1", 12, 0)["fits"]
    assert capsys.readouterr().err == (
        "nearfar: pump: 12 source-domain training clips: c1: components 6 instead of 64\n"
    )
    about = read_about(fits)
    assert about["params"]["components"] == 6 and about["fitted"] == 5
    detected(tmp_path, "c1", 12, 0)
    assert capsys.readouterr().err == ""


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
