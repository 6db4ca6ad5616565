"""Numbers that are none, and tables that do not belong together, end in one line wherever a system is put together."""

import numpy as np
import pytest

from nearfar.errors import NearfarError
from nearfar.jobs.files import read_table, write_table
from nearfar.systems.evaluation import evaluate, evaluate_machines
from nearfar.systems.machine import fuse_machine
from nearfar.systems.sections import Section, sections_of

HOW = {
    "system": {"weights": {"a": 0.5, "b": 0.5}, "ranks": "test"},
    "decision": {"percentile": 90.0, "false_alarm": None, "fdr": None},
}
KINDS = [(domain, label) for domain in ("source", "target") for label in ("normal", "anomaly")]
FILES = [f"section_00_{domain}_test_{label}_{i:04d}.wav" for domain, label in KINDS for i in range(3)]
TRAIN = [f"section_00_source_train_normal_{i:04d}.wav" for i in range(8)]


def normalized(path, **changes):
    """Write normalized scores of a machine, with what the test wants of them changed."""
    files, random = np.array(TRAIN + FILES, object), np.random.default_rng(len(path.name))
    split = np.repeat(np.array(["train", "test"], object), [len(TRAIN), len(FILES)])
    table = {"file": files, "split": split, "score": random.normal(size=len(files))}
    write_table(path, table | changes)
    return path


def fused(path, **changes):
    table = {"file": np.array(FILES, object), "score": np.arange(12.0), "decision": np.zeros(12, np.int8)}
    write_table(path, table | changes)
    return path


@pytest.fixture
def clips(tmp_path):
    domain, label = (np.repeat(np.array(words, object), 3) for words in zip(*KINDS, strict=True))
    table = {"file": FILES, "path": FILES, "split": ["test"] * 12, "section": ["00"] * 12}
    write_table(tmp_path / "clips", table | {"domain": domain, "label": label})
    return {"fan": tmp_path / "clips"}


def broken(value, at=10):
    scores = np.random.default_rng(0).normal(size=len(TRAIN) + len(FILES))
    scores[at] = value
    return scores


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 10])
def test_normalized_scores_that_are_not_finite_are_refused(tmp_path, value, at):
    paths = {"a": normalized(tmp_path / "a"), "b": normalized(tmp_path / "b", score=broken(value, at))}
    with pytest.raises(NearfarError, match=rf"/b: the score of {(TRAIN + FILES)[at]} is {value}; mend"):
        fuse_machine(paths, tmp_path / "fused", tmp_path / "training", **HOW)
    assert not (tmp_path / "fused").exists()


@pytest.mark.parametrize("weight", [np.nan, np.inf])
@pytest.mark.parametrize("ranks", ["test", "train"])
def test_a_weight_that_is_no_number_gives_no_fused_score(tmp_path, weight, ranks):
    paths = {name: normalized(tmp_path / name) for name in "ab"}
    how = HOW | {"system": {"ranks": ranks, "weights": {"a": 0.5, "b": weight}}}
    message = r"/fused: the score of section_00_.*; mend the weight or the detector"
    with np.errstate(invalid="ignore"), pytest.raises(NearfarError, match=message):
        fuse_machine(paths, tmp_path / "fused", tmp_path / "training", **how)
    assert not (tmp_path / "fused").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda t: {name: column[::-1] for name, column in t.items()},
        lambda t: {name: column[:-1] for name, column in t.items()},
        lambda t: t | {"file": np.where(t["file"] == FILES[3], "section_00_9999.wav", t["file"])},
        lambda t: t | {"split": np.where(t["file"] == TRAIN[7], "test", t["split"])},
    ],
    ids=["another order", "one clip fewer", "another clip", "another split"],
)
def test_detectors_of_different_clips_are_not_fused(tmp_path, change):
    paths = {name: normalized(tmp_path / name) for name in "ab"}
    fuse_machine(paths, tmp_path / "fused", tmp_path / "training", **HOW)
    write_table(tmp_path / "b", change(read_table(tmp_path / "b")))
    with pytest.raises(NearfarError, match=r"/b: not the clips of .*/a in their order; delete both"):
        fuse_machine(paths, tmp_path / "fused", tmp_path / "training", **HOW)


WRONG = [
    ({"score": np.r_[np.arange(11.0), -np.inf]}, f"/scores: the score of {FILES[11]} is -inf"),
    ({"score": np.r_[np.nan, np.arange(11.0)]}, f"/scores: the score of {FILES[0]} is nan"),
    ({"file": np.array([FILES[1], *FILES[1:]], object)}, f"/scores: {FILES[1]} stands there twice"),
    ({"file": np.array(["section_00_9999.wav", *FILES[1:]], object)}, "section_00_9999.wav|lacks"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_fused_scores_that_are_wrong_are_not_evaluated(tmp_path, clips, change, message):
    scores = {"fan": fused(tmp_path / "scores")}
    evaluate_machines(clips, scores, tmp_path / "table.csv", unscored={})
    assert "nan" not in (tmp_path / "table.csv").read_text()
    fused(tmp_path / "scores", **change)
    (tmp_path / "table.csv").unlink()
    with pytest.raises(NearfarError, match=message):
        evaluate_machines(clips, scores, tmp_path / "table.csv", unscored={})
    assert not (tmp_path / "table.csv").exists()


@pytest.mark.parametrize("decision", [-1, 2, 0.5])
def test_decisions_of_a_fused_table_are_0_or_1(tmp_path, clips, decision):
    scores = {"fan": fused(tmp_path / "scores", decision=np.r_[np.zeros(11), decision])}
    with pytest.raises(NearfarError, match="fan: decisions other than 0 and 1"):
        evaluate_machines(clips, scores, tmp_path / "eval.csv", unscored={})


def test_a_figure_that_is_not_finite_is_refused():
    facts = {file: ("00", *pair[::-1]) for file, pair in zip(FILES, np.repeat(KINDS, 3, axis=0), strict=True)}
    (part,) = sections_of("fan", np.array(FILES), np.arange(12.0), facts)
    assert evaluate([part])[-1]["machine"] == "all"
    with np.errstate(invalid="ignore"), pytest.raises(NearfarError, match="fan: auc_source is nan; check the scores"):
        evaluate([Section("fan", "00", part.file, part.score, np.zeros(12, bool), part.target)])


def test_a_far_microphone_that_is_not_far_leaves_the_residual_out(tmp_path):
    paths = {name: normalized(tmp_path / name) for name in ("near", "residual", "other")}
    system = {"combine": "mean", "residual": ["residual"]}
    families = {"both": ["near", "residual"], "alone": ["residual"], "third": ["other"]}
    left = {"both": ["near"], "third": ["other"]}
    for name, far, wanted in (("far", True, families), ("not", False, left)):
        (tmp_path / name).write_text('{"far": true}' if far else '{"far": false}')
        given = system | {"families": families}
        fuse_machine(
            paths,
            tmp_path / "fused",
            tmp_path / "training",
            system=given,
            decision={"percentile": 90.0, "false_alarm": None, "fdr": None},
            signals=tmp_path / name,
        )
        kept = {member for family in wanted.values() for member in family}
        fuse_machine(
            {member: path for member, path in paths.items() if member in kept},
            tmp_path / "wanted", tmp_path / "training",
            system=system | {"families": wanted}, decision={"percentile": 90.0, "false_alarm": None, "fdr": None},
        )  # fmt: skip
        assert (tmp_path / "fused").read_bytes() == (tmp_path / "wanted").read_bytes()
