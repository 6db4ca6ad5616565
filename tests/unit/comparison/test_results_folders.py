"""Two results folders against each other."""

import numpy as np
import pytest

from nearfar.cli import main
from nearfar.comparison.bootstrap import interval, resample
from nearfar.comparison.results import compare_results, is_results
from nearfar.jobs.faults import write_faults
from nearfar.jobs.files import write_table, write_text
from nearfar.systems.evaluation import evaluate
from nearfar.systems.metrics import omega
from nearfar.systems.sections import sections_of
from nearfar.systems.tables import not_scored, omega_csv

CELLS = [(label, domain) for label in ("normal", "anomaly") for domain in ("source", "target")]
FILES = np.array([f"{i:02d}.wav" for i in range(40)], object)
TRUTH = {file: ("00", *CELLS[i % 4]) for i, file in enumerate(FILES)}


def section(machine, lift, seed=0):
    """Scores of forty clips in which anomalies lie ``lift`` higher."""
    anomalous = np.array([TRUTH[file][1] == "anomaly" for file in FILES])
    scores = np.random.default_rng(seed).normal(size=len(FILES)) + lift * anomalous
    (part,) = sections_of(machine, FILES, scores, TRUTH)
    return part


def results(folder, lifts, tables=True, scores=True):
    """Write a results folder; lifts: dict from system to a dict from machine to how well it is heard."""
    for system, machines in lifts.items():
        parts = [section(machine, lift) for machine, lift in machines.items()]
        for part in parts if scores else ():
            _, label, domain = map(list, zip(*(TRUTH[file] for file in part.file), strict=True))
            clips = {"file": part.file, "section": ["00"] * 40, "label": label, "domain": domain}
            write_table(folder / f"clips/test/{part.machine}.parquet", clips)
            write_table(folder / f"{system}/scores/{part.machine}.parquet", {"file": part.file, "score": part.score})
        if tables:
            write_text(folder / f"{system}/eval.csv", omega_csv(evaluate(parts)))
    return str(folder)


def cells(page, machine):
    """The cells of a machine's rows in a page, without blanks."""
    return [line.split("|")[2:-1] for line in page.splitlines() if line.startswith(f"| {machine} ")]


def expected(machines):
    """The difference over machines of ``pair``, from the bootstrap itself."""
    lifts = ({"fan": 0.3, "pump": 1.0}, {"fan": 2.0, "pump": 1.0})
    parts = [[section(machine, heard[machine]) for machine in machines] for heard in lifts]
    one, other = (omega(resample(each, seed=0, resamples=2000)) for each in parts)
    low, high = 100 * interval(other - one)
    return f"{100 * (other - one)[0]:+.2f} [{low:+.1f}, {high:+.1f}]"


@pytest.fixture
def pair(tmp_path):
    one = results(tmp_path / "one", {"s1": {"fan": 0.3, "pump": 1.0}, "s2": {"fan": 1.0, "pump": 1.0}})
    other = results(tmp_path / "other", {"s1": {"fan": 2.0, "pump": 1.0}})
    return [one, other]


def test_differences_are_the_second_less_the_first_with_a_paired_interval(pair, capsys):
    assert main(["compare", *pair]) == 0
    page = capsys.readouterr().out
    (fan,), (pump,), (everything,) = (cells(page, machine) for machine in ("fan", "pump", "all"))
    assert fan[2].strip() == expected(["fan"]) and pump[2].strip() == "+0.00 [+0.0, +0.0]"
    assert everything[2].strip() == expected(["fan", "pump"])
    assert f"Only in {pair[0]}: s2." in page


def test_all_is_over_the_machines_that_both_have(tmp_path):
    one = results(tmp_path / "one", {"s1": {"fan": 1.0, "pump": 0.0}})
    other = results(tmp_path / "other", {"s1": {"fan": 1.0, "saw": 3.0}})
    page = compare_results([one, other])
    assert cells(page, "fan") == cells(page, "all") and not cells(page, "pump")
    assert f"Only in {one}, of s1: pump." in page and f"Only in {other}, of s1: saw." in page


def test_tables_alone_give_differences_without_intervals(tmp_path):
    one = results(tmp_path / "one", {"s1": {"fan": 0.3}})
    other = results(tmp_path / "other", {"s1": {"fan": 2.0}}, scores=False)
    ((first, second, difference),) = cells(compare_results([one, other]), "fan")
    assert float(difference) == pytest.approx(float(second) - float(first), abs=0.02) and float(difference) > 5


def test_other_clips_of_one_machine_cost_its_interval_and_that_of_all(pair, tmp_path):
    path = tmp_path / "other/clips/test/pump.parquet"
    scores = tmp_path / "other/s1/scores/pump.parquet"
    part = section("pump", 1.0)
    files = np.array([f"x{file}" for file in part.file], object)
    _, label, domain = map(list, zip(*(TRUTH[file] for file in part.file), strict=True))
    write_table(path, {"file": files, "section": ["00"] * 40, "label": label, "domain": domain})
    write_table(scores, {"file": files, "score": part.score})
    page = compare_results(pair)
    paired = {machine: "[" in cells(page, machine)[0][2] for machine in ("fan", "pump", "all")}
    assert paired == {"fan": True, "pump": False, "all": False}


def test_what_is_no_pair_of_results_is_refused_in_one_line(pair, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    strangers = results(tmp_path / "strangers", {"s1": {"saw": 1.0}, "s9": {"fan": 1.0}}, scores=False)
    write_text(tmp_path / "odd/s1/eval.csv", "a,b\n1,2\n")
    for arguments, message in (
        ([pair[0], str(tmp_path / "empty")], f"{tmp_path}/empty: no <system>/eval.csv or <system>/scores in it"),
        ([pair[0], pair[0]], f"{pair[0]}: given twice"),
        ([pair[0]], "results are compared in pairs, here are 1"),
        ([*pair, strangers], "results are compared in pairs, here are 3"),
        ([*pair, "--truth", "truth"], "truth: results know their clips' truth"),
        ([pair[1], strangers], f"{pair[1]} has s1 of fan, pump; {strangers} has s1, s9 of saw, fan"),
        ([pair[0], str(tmp_path / "odd")], "odd/s1/eval.csv: not a table of Ω"),
    ):
        assert main(["compare", *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_a_folder_of_score_files_is_no_results_folder(tmp_path):
    (tmp_path / "anomaly_score_fan_section_00_test.csv").write_text("a.wav,1\n")
    assert not is_results(tmp_path) and not is_results(tmp_path / "absent")
    write_table(tmp_path / "project/results/scores/knn/fan.parquet", {"score": [1.0]})
    assert not is_results(tmp_path / "project")


@pytest.mark.parametrize("kept", ["scores", "tables"])
def test_a_machine_that_could_not_be_scored_stands_in_no_comparison(tmp_path, kept):
    pair = [tmp_path / "one", tmp_path / "other"]
    for folder in pair:
        results(folder, {"s1": {"fan": 0.3}}, tables=kept == "tables", scores=kept == "scores")
        if kept == "scores":
            write_faults([folder / "s1/scores/pump.parquet"], "pump: no clip")
        else:
            rows = [*evaluate([section("fan", 0.3)]), *not_scored({"pump": "no clip"})]
            write_text(folder / "s1/eval.csv", omega_csv(rows))
    page = compare_results([str(folder) for folder in pair])
    assert cells(page, "fan") and "pump" not in page and "not scored" not in page
