"""The lists of what to listen to: ranking.csv, timeline.csv, and what tables say of what could not be scored."""

import csv
import json

import numpy as np
import pandas
import pyarrow as pa
import pytest

from nearfar.comparison.compare import compare_systems
from nearfar.data.skipped import MOST, Skipped, left_out, skipped, window_name, write_skipped
from nearfar.errors import NearfarError
from nearfar.jobs.faults import write_faults
from nearfar.jobs.files import read_table, write_table
from nearfar.systems.evaluation import evaluate_detectors, evaluate_machines
from nearfar.systems.machine import fuse_machine
from nearfar.systems.ranking import rank_machines
from nearfar.systems.sections import scored
from nearfar.systems.tables import readable
from nearfar.systems.timeline import write_timeline
from nearfar.systems.windows import block_scores, by_recording, caution, worst

PAPER = {"percentile": 90, "false_alarm": None, "fdr": None}
RANKS = {"weights": {"raw": 0.5, "knn": 0.5}, "ranks": "test"}


def clip_rows(recordings):
    """Columns of a clip table: a dict from recording to its number of windows of ten seconds; 0 for a whole clip."""
    starts = {name: [10.0 * i for i in range(max(count, 1))] for name, count in recordings.items()}
    pairs = [(name, start) for name, at in starts.items() for start in at]
    names = [window_name(name, start) if recordings[name] else name for name, start in pairs]
    columns = {"recording": [name for name, _ in pairs], "start": [start for _, start in pairs], "file": names}
    return columns | {"path": [f"data/{name}" for name, _ in pairs]}


class Machine:
    """A machine's files in a folder: clip tables, two detectors' normalized scores and the fused ones."""

    def __init__(self, folder, train, test, left_out=(), seed=0, shift=0.0):
        self.folder, rng = folder, np.random.default_rng(seed)
        folder.mkdir()
        about = {"skipped": json.dumps([list(one) for one in left_out])}
        for split, recordings in (("train", train), ("test", test)):
            table = pa.table(clip_rows(recordings))
            write_table(folder / split, table.replace_schema_metadata(about) if split == "test" else table)
        files = [read_table(folder / split)["file"] for split in ("train", "test")]
        key = {"file": np.concatenate(files), "split": np.repeat(["train", "test"], [*map(len, files)])}
        self.normalized = {name: folder / name for name in ("raw", "knn")}
        for path in self.normalized.values():
            score = rng.normal(size=len(key["file"])) + shift * (key["split"] == "test")
            write_table(path, key | {"score": score})
        fuse_machine(self.normalized, folder / "scores", folder / "training", system=RANKS, decision=PAPER)


def ranked(out, machines, worst_windows=3, unscored=(), **decision):
    """Rank machines, a dict from name to Machine, and return the rows."""
    tables = [{name: one.folder / part for name, one in machines.items()} for part in PARTS]
    normalized = {name: {m: one.normalized[name] for m, one in machines.items()} for name in ("raw", "knn")}
    how = {"decision": PAPER | decision, "worst_windows": worst_windows, "unscored": dict(unscored)}
    rank_machines(*tables, normalized, out, **how)
    return rows_of(out)


PARTS = ("train", "test", "scores", "training")


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def whole(count, prefix="clip"):
    return {f"{prefix}{i:03d}.wav": 0 for i in range(count)}


@pytest.fixture
def fan(tmp_path):
    return Machine(tmp_path / "fan", whole(50, "train"), whole(40), shift=1.0)


def test_training_clips_have_their_score_on_the_scale_that_decisions_compare(fan):
    table, training = read_table(fan.folder / "scores"), read_table(fan.folder / "training")
    assert len(training["file"]) == 50 and list(training["file"]) == list(read_table(fan.folder / "train")["file"])
    np.testing.assert_array_equal(table["threshold"], np.percentile(training["score"], 90))
    np.testing.assert_array_equal(table["decision"] == 1, table["level"] > table["threshold"])
    assert not np.allclose(table["level"], table["score"])  # the paper's ranks within the test set


def test_no_normal_stands_above_an_anomaly_though_the_paper_orders_them_otherwise(fan, tmp_path):
    rows = ranked(tmp_path / "ranking.csv", {"fan": fan})
    decisions = [row["decision"] for row in rows]
    assert 0 < decisions.count("anomaly") < 40 and decisions == sorted(decisions)
    for row in rows:
        assert (row["decision"] == "anomaly") == (float(row["score"]) > float(row["threshold"]))
        assert (row["decision"] == "anomaly") == (float(row["excess"]) > 0)
    assert [float(row["score"]) for row in rows] == sorted((float(row["score"]) for row in rows), reverse=True)
    assert [row["rank"] for row in rows] == [str(i) for i in range(1, 41)]
    fused = read_table(fan.folder / "scores")
    papers = [f"data/{file}" for file in fused["file"][np.argsort(-fused["score"])]]
    assert papers != [row["path"] for row in rows]


def test_whole_clips_have_no_columns_of_windows_and_each_detector_beside_them(fan, tmp_path):
    rows = ranked(tmp_path / "ranking.csv", {"fan": fan})
    first = ["machine", "rank", "score", "threshold", "excess", "p", "decision"]
    assert list(rows[0]) == [*first, "path", "raw", "knn", "note"]
    raw = read_table(fan.normalized["raw"])
    of_clip = dict(zip(raw["file"], raw["score"], strict=True))
    assert all(float(row["raw"]) == pytest.approx(of_clip[row["path"][5:]], abs=1e-6) for row in rows)


def test_excess_is_in_standard_deviations_of_the_training_scores(fan, tmp_path):
    row = ranked(tmp_path / "ranking.csv", {"fan": fan})[0]
    training = read_table(fan.folder / "training")["score"]
    over = float(row["score"]) - np.percentile(training, 90)
    assert float(row["excess"]) == pytest.approx(over / training.std(), abs=1e-4)


def test_training_scores_that_are_all_equal_leave_the_excess_empty(fan, tmp_path):
    write_table(fan.folder / "training", read_table(fan.folder / "training") | {"score": np.full(50, 0.3)})
    assert {row["excess"] for row in ranked(tmp_path / "ranking.csv", {"fan": fan})} == {""}


def test_clips_of_other_tables_are_not_ranked(fan, tmp_path):
    for part, other in (("scores", "clip table"), ("training", "clip table")):
        good = read_table(fan.folder / part)
        write_table(fan.folder / part, {name: column[1:] for name, column in good.items()})
        with pytest.raises(NearfarError, match=f"{part}: lacks .* of the {other}"):
            ranked(tmp_path / "ranking.csv", {"fan": fan})
        write_table(fan.folder / part, good)
    assert not (tmp_path / "ranking.csv").exists()


@pytest.mark.parametrize("part", ["scores", "training", "raw"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_not_ranked(fan, tmp_path, part, value):
    table = read_table(fan.folder / part)
    table["score"] = np.r_[table["score"][:-1], value]
    write_table(fan.folder / part, table)
    with pytest.raises(NearfarError, match=f"{part}: the score of .* is {value}; mend"):
        ranked(tmp_path / "ranking.csv", {"fan": fan})
    assert not (tmp_path / "ranking.csv").exists()


def test_a_detector_that_is_named_as_a_column_is_refused(tmp_path):
    with pytest.raises(NearfarError, match=r"detectors.score: is a column of ranking.csv; give"):
        rank_machines({}, {}, {}, {}, {"score": {}}, tmp_path / "r", decision=PAPER, worst_windows=3, unscored={})


LONG = {"mon.flac": 30, "tue.flac": 6, "wed.flac": 2, "thu.flac": 1}


@pytest.fixture
def pump(tmp_path):
    lost = [("tue.flac@000060.000", "is silent", None), ("fri.flac", "holds no sound", "data/fri.flac")]
    return Machine(tmp_path / "pump", {"a.flac": 120, "b.flac": 80}, LONG, left_out=lost, seed=1)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_recording_has_the_mean_of_its_worst_windows(pump, tmp_path, count):
    rows = {row["recording"]: row for row in ranked(tmp_path / "ranking.csv", {"pump": pump}, count)}
    clips, level = read_table(pump.folder / "test"), read_table(pump.folder / "scores")["level"]
    knn = read_table(pump.normalized["knn"])["score"][200:]
    assert rows.keys() == {*LONG, "fri.flac"}
    for name in LONG:
        own = np.flatnonzero(clips["recording"] == name)
        highest = own[np.argsort(-level[own])][:count]
        assert float(rows[name]["score"]) == pytest.approx(level[highest].mean(), abs=1e-6)
        assert float(rows[name]["knn"]) == pytest.approx(knn[highest].mean(), abs=1e-6)
        assert float(rows[name]["start"]) == clips["start"][highest[0]]


def test_long_recordings_have_a_threshold_of_their_own_length_and_stand_by_their_excess(pump, tmp_path):
    rows = ranked(tmp_path / "ranking.csv", {"pump": pump})[: len(LONG)]
    threshold = {row["recording"]: float(row["threshold"]) for row in rows}
    assert threshold["thu.flac"] == pytest.approx(read_table(pump.folder / "scores")["threshold"][0], abs=1e-6)
    assert threshold["mon.flac"] > threshold["tue.flac"]
    excess = [float(row["excess"]) for row in rows]
    assert excess == sorted(excess, reverse=True) and [row["decision"] for row in rows] == sorted(
        row["decision"] for row in rows
    )


def test_what_was_left_out_stands_last_with_its_reason(pump, fan, tmp_path):
    out = tmp_path / "ranking.csv"
    rows = ranked(out, {"pump": pump, "fan": fan}, unscored={"belt": "3 training clips, add some"})
    assert [(row["machine"], row["recording"], row["note"]) for row in rows if row["decision"] == "not scored"] == [
        ("pump", "fri.flac", "holds no sound"),
        ("belt", "", "3 training clips, add some"),
    ]
    assert rows[len(LONG)]["path"] == "data/fri.flac" and rows[len(LONG)]["rank"] == rows[len(LONG)]["score"] == ""
    assert rows[-1]["machine"] == "belt" and rows[len(LONG) + 1]["machine"] == "fan"
    notes = {row["recording"]: row["note"] for row in rows}
    assert notes["tue.flac"] == "1 of its windows not scored" and notes["wed.flac"] == ""
    assert notes["mon.flac"] == "13% of normal recordings so long would be above: 30 windows judged by 200 normal ones"


def test_the_timeline_has_every_window_in_order_of_time(pump, fan, tmp_path):
    machines = {"pump": pump, "fan": fan}
    tables = [{name: one.folder / part for name, one in machines.items()} for part in ("test", "scores")]
    write_timeline(*tables, tmp_path / "timeline.csv", unscored={"belt": "no clip"})
    rows = rows_of(tmp_path / "timeline.csv")
    assert [row["machine"] for row in rows] == ["pump"] * 41 + ["fan"] * 40 + ["belt"]
    assert [row["recording"] for row in rows[:2]] == ["fri.flac", "mon.flac"]
    mon = [row for row in rows if row["recording"] == "mon.flac"]
    assert [float(row["start"]) for row in mon] == [10.0 * i for i in range(30)]
    fused = read_table(pump.folder / "scores")
    level = dict(zip(fused["file"], fused["level"], strict=True))
    for row in mon:
        at = level[window_name("mon.flac", float(row["start"]))]
        assert float(row["score"]) == pytest.approx(at, abs=1e-6)
        assert (row["decision"] == "anomaly") == (at > fused["threshold"][0])
    gap = next(row for row in rows if row["note"] == "is silent")
    assert (gap["recording"], float(gap["start"]), gap["decision"], gap["score"]) == ("tue.flac", 60, "not scored", "")
    assert rows[-1] | {"decision": "not scored", "note": "no clip", "recording": ""} == rows[-1]


def test_skipped_windows_are_told_from_recordings_that_are_named_alike(tmp_path):
    table = pa.table(clip_rows({"a.wav": 2}))
    listed = [["a.wav@000020.000", "silent", None], ["b.wav@000020.000", "short", "data/b"]]
    write_table(tmp_path / "t", table.replace_schema_metadata({"skipped": json.dumps(listed)}))
    assert skipped(tmp_path / "t") == [
        Skipped("a.wav", 20.0, "silent"),
        Skipped("b.wav@000020.000", None, "short", "data/b"),
    ]
    write_table(tmp_path / "none", table)
    assert skipped(tmp_path / "none") == []


def test_the_list_of_what_was_skipped_names_each_machines_fault_once(tmp_path, pump):
    write_faults([tmp_path / "train", tmp_path / "test"], "belt: 3 training clips; add some")
    belt = [("belt", split, tmp_path / split) for split in ("train", "test")]
    write_skipped([*belt, ("pump", "test", pump.folder / "test")], tmp_path / "skipped.csv")
    assert [tuple(row.values()) for row in rows_of(tmp_path / "skipped.csv")] == [
        ("belt", "train", "", "", "3 training clips; add some"),
        ("pump", "test", "tue.flac", "60.000", "is silent"),
        ("pump", "test", "fri.flac", "", "holds no sound"),
    ]
    write_skipped([("pump", "train", pump.folder / "train")], tmp_path / "skipped.csv")
    assert (tmp_path / "skipped.csv").read_text() == "machine,split,recording,start,reason\n"


def test_a_run_ends_with_a_line_on_each_thing_that_was_left_out(tmp_path, pump):
    write_faults([tmp_path / "train", tmp_path / "test"], "belt: 3 training clips; add some")
    tables = [("belt", split, tmp_path / split) for split in ("train", "test")]
    tables += [("pump", "test", pump.folder / "test"), ("gone", "test", tmp_path / "no_such")]
    assert left_out(tables, "results/skipped.csv") == [
        "left out: belt: 3 training clips; add some",
        "left out: pump (test): tue.flac from 60 s on: is silent",
        "left out: pump (test): fri.flac: holds no sound",
    ]
    lost = [(f"{i}.flac", "is silent", f"data/{i}.flac") for i in range(MOST + 3)]
    many = Machine(tmp_path / "many", {"a.flac": 20}, {"b.flac": 2}, left_out=lost)
    lines = left_out([("many", "test", many.folder / "test")], "results/skipped.csv")
    assert len(lines) == MOST + 1 and lines[-1] == "left out: 3 more, see results/skipped.csv"


def test_the_threshold_of_one_window_is_that_of_clips():
    training = np.random.default_rng(2).normal(size=77)
    assert np.array_equal(block_scores(training, 1, worst_windows=3), training)


def test_blocks_are_circular_and_none_is_longer_than_the_training_windows():
    training = np.array([5.0, 1.0, 2.0, 4.0])
    assert block_scores(training, 2, worst_windows=2).tolist() == [3.0, 1.5, 3.0, 4.5]  # 4 and, round the circle, 5
    assert block_scores(training, 3, worst_windows=1).tolist() == [5.0, 4.0, 5.0, 5.0]
    assert block_scores(training, 4, worst_windows=2).tolist() == block_scores(training, 9, worst_windows=2).tolist()


def test_the_worst_are_the_highest_first_and_all_where_there_are_fewer():
    assert list(worst(np.array([1.0, 3.0, 3.0, 2.0]), 3)) == [1, 2, 3]
    assert list(worst(np.array([1.0, 3.0]), 3)) == [1, 0]


def test_windows_of_a_recording_are_in_time_whatever_the_order_of_the_table():
    clips = {"recording": np.array(["b", "a", "b", "a"], object), "start": np.array([10.0, 5.0, 0.0, 100.0])}
    assert {name: list(rows) for name, rows in by_recording(clips).items()} == {"a": [1, 3], "b": [2, 0]}


@pytest.mark.parametrize(("length", "normal"), [(6, 180), (60, 180), (180, 180)])
def test_normal_recordings_are_flagged_as_often_as_is_promised_or_said(length, normal):
    """Windows that are exchangeable: the rate is the percentile's, or the share that the remark names."""
    rng, above, times = np.random.default_rng(length), 0, 150
    for _ in range(times):
        training, new = rng.normal(size=normal), rng.normal(size=(4, length))
        threshold = np.percentile(block_scores(training, length, worst_windows=3), 90)
        above += sum(row[worst(row, 3)].mean() > threshold for row in new)
    remark = caution(length, normal, 0.1)
    said = {6: 10, 60: 25, 180: 50}[length]
    assert abs(100 * above / (4 * times) - said) < 7
    assert (f"{said}%" in remark) if said > 10 else remark == ""


def labelled(folder):
    """Give the test clips of a machine labels and domains, a quarter of each kind, and return the dicts of paths."""
    table, kinds = read_table(folder / "test"), np.arange(40) % 4
    table |= {"section": np.full(40, "00"), "label": np.where(kinds % 2, "normal", "anomaly")}
    write_table(folder / "test", table | {"domain": np.where(kinds > 1, "source", "target")})
    return {"fan": folder / "test"}, {"fan": folder / "scores"}


UNSCORED = {"belt": "3 training clips, at least 10 are needed"}


def test_tables_of_omega_name_the_machines_that_could_not_be_scored(fan, tmp_path):
    clips, scores = labelled(fan.folder)
    for unscored in ({}, UNSCORED):
        evaluate_machines(clips, scores, tmp_path / f"eval{len(unscored)}.csv", unscored=unscored)
        evaluate_detectors(clips, {"raw": scores}, tmp_path / f"detectors{len(unscored)}.csv", unscored=unscored)
    for name, rows in (("eval", ["fan", "not scored", "all"]), ("detectors", ["raw", "not scored"])):
        text, plain = ((tmp_path / f"{name}{count}.csv").read_text() for count in (1, 0))
        table = pandas.read_csv(tmp_path / f"{name}1.csv")
        assert list(table.iloc[:, 0]) == rows and table["omega"].isna().sum() == 1
        assert [line for line in text.splitlines() if "belt" not in line] == plain.splitlines()
        *lines, last = readable(text, "title").splitlines()
        assert lines == readable(plain, "title").splitlines()
        assert last == "not scored: belt (3 training clips, at least 10 are needed)"


def test_a_comparison_names_the_machines_that_could_not_be_scored(fan, tmp_path):
    clips, scores = labelled(fan.folder)
    out = tmp_path / "compare.csv", tmp_path / "compare.md"
    compare_systems(clips, {"one": scores}, *out, seed=0, resamples=20, unscored=UNSCORED)
    assert "\n\nNot scored: belt (3 training clips, at least 10 are needed).\n\n" in out[1].read_text()
    assert rows_of(out[0])[-1]["system"] == "not scored" and rows_of(out[0])[-1]["machine"].startswith("belt (")
    compare_systems(clips, {"one": scores}, *out, seed=0, resamples=20, unscored={})
    assert "ot scored" not in out[0].read_text() + out[1].read_text()


def test_a_machines_fault_costs_no_other_and_is_named(tmp_path):
    paths = {key: [str(tmp_path / f"{key}{i}") for i in range(count)] for key, count in (("clips", 3), ("scores", 6))}
    for path in paths["clips"] + paths["scores"]:
        write_table(path, {"file": ["a"]})
    write_faults([paths["scores"][4]], "fan: too few clips")  # the second system's, of the second machine
    tables, unscored = scored(["belt", "fan", "pump"], paths)
    assert unscored == {"fan": "too few clips"}
    assert tables["clips"] == [{"belt": paths["clips"][0], "pump": paths["clips"][2]}]
    assert tables["scores"] == [
        {"belt": paths["scores"][0], "pump": paths["scores"][2]},
        {"belt": paths["scores"][3], "pump": paths["scores"][5]},
    ]
    with pytest.raises(ValueError, match="shorter|longer"):
        scored(["belt", "fan", "pump"], paths | {"scores": paths["scores"][:5]})
    write_faults(paths["clips"], "no clips")
    with pytest.raises(NearfarError, match="no machine can be used; the first fault: no clips"):
        scored(["belt", "fan", "pump"], paths)


@pytest.mark.parametrize(("decision", "most"), [({"false_alarm": 0.05}, 0.05), ({"fdr": 0.2}, None), ({}, None)])
def test_alarms_keep_the_rate_asked_for_and_stand_above_the_others(tmp_path, decision, most):
    one = Machine(tmp_path / "fan", whole(99, "train"), whole(60))
    rows = ranked(tmp_path / "ranking.csv", {"fan": one}, **decision)
    p = [float(row["p"]) for row in rows]
    assert p == sorted(p) and all(abs(100 * one - round(100 * one)) < 1e-4 for one in p)  # of n + 1 = 100
    decisions = [row["decision"] for row in rows]
    assert decisions == sorted(decisions)
    if most:
        assert [one <= most for one in p] == [word == "anomaly" for word in decisions]


def test_where_so_rare_an_alarm_cannot_be_told_there_is_none(tmp_path):
    one = Machine(tmp_path / "fan", whole(12, "train"), whole(20), shift=5.0)
    rows = ranked(tmp_path / "ranking.csv", {"fan": one}, false_alarm=0.05)
    assert {(row["threshold"], row["excess"], row["decision"]) for row in rows} == {("inf", "", "normal")}
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
