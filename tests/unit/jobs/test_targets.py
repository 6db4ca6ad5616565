"""What is said to someone who asks a run for what no rule makes."""

import pytest

from nearfar.jobs.targets import listed, no_such_target

OUTPUTS = [
    "data/archives/{archive}",  # not below the results
    "runs/a/clips/{split}/{machine}.parquet",
    "runs/a/{system}/eval.csv",
    "runs/a/{system}/ranking.csv",
    "runs/a/{system}/scores/{machine}.parquet",
    "runs/a/fits/{detector}/{machine}.safetensors",
    "runs/a/detectors.csv",
]
NAMES = {"system": ["core", "system1"], "machine": ["fan", "pump"], "detector": ["knn"]}


def said(target):
    return no_such_target(target, "runs/a", OUTPUTS, NAMES, ["all", "download"])


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("runs/a/system9/eval.csv", "no such system, system9; there are core, system1"),
        ("runs/a/system1/scores/fam.parquet", "no such machine, fam; there are fan, pump"),
        ("runs/a/fits/kmm/fan.safetensors", "no such detector, kmm; there are knn"),
        ("runs/a/system1/evals.csv", "no rule makes it; in runs/a/system1 there are eval.csv, ranking.csv"),
        ("runs/a/clips/train/fan.csv", "no rule makes it; in runs/a/clips/train there are <machine>.parquet"),
        ("runs/a/detector.csv", "no rule makes it; in runs/a there are detectors.csv"),
    ],
)
def test_below_the_results_the_line_names_what_is_wrong_and_what_there_is(target, line):
    assert said(target) == f"{target}: {line}"


@pytest.mark.parametrize("folder", ["runs/b", "runs/a/b", "elsewhere", "runs"])
def test_a_result_of_another_folder_names_the_key_and_the_configuration(folder):
    for tail in ("system1/eval.csv", "detectors.csv", "core/scores/pump.parquet"):
        remedy = f"ask for runs/a/{tail}, or add the --configfile with results: {folder}"
        assert said(f"{folder}/{tail}") == f"{folder}/{tail}: results: is runs/a; {remedy}"


@pytest.mark.parametrize("target", ["other/thing.csv", "runs/a/x/y/z/table.csv", "runs/b/system9/eval.csv"])
def test_a_path_of_no_result_lists_the_tables(target):
    tables = "<system>/eval.csv, <system>/ranking.csv, <system>/scores/<machine>.parquet, detectors.csv"
    assert said(target) == f"{target}: no rule makes it; below runs/a there are {tables}"


def test_a_word_lists_the_rules():
    line = "downlod: no such target; there are all, download, and files such as runs/a/<system>/eval.csv"
    assert said("downlod") == line


def test_a_name_with_signs_of_a_pattern_matches_itself_alone():
    names = NAMES | {"machine": ["fan.1", "(x)"]}
    assert "no such machine, fanx1" in no_such_target("r/fanx1.csv", "r", ["r/{machine}.csv"], names, [])
    assert "no such machine, y; there are fan.1, (x)" in no_such_target("r/y.csv", "r", ["r/{machine}.csv"], names, [])


def test_very_many_names_are_counted():
    line = listed(f"m{i}" for i in range(100))
    assert line.startswith("m0, m1, ") and line.endswith("m19 and 80 more")
    assert listed(["a", "b", "a"]) == "a, b"
