"""The metric, and the command that computes it from score files."""

import os
import shutil

import numpy as np
import pytest
from conftest import ROOT
from sklearn.metrics import roc_auc_score

from nearfar.cli import main
from nearfar.systems.metrics import METRICS, auc, decision_metrics, harmonic_mean, omega, section_metrics
from nearfar.systems.score_folder import evaluate_folder

SCORES = ROOT / "tests/data/baseline_scores"
TABLE_2 = """72.12 84.80 63.16 60.64 84.96 54.89 62.68 55.60 54.89 79.84 42.96 51.95
75.16 64.52 58.32 63.84 55.84 50.89 91.96 79.92 63.11"""


@pytest.mark.parametrize("ties", [False, True])
def test_areas_are_sklearns(ties):
    rng = np.random.default_rng(0)
    for n, m in ((10, 7), (50, 100), (100, 100), (33, 1), (1, 5)):
        for _ in range(20):
            anomalous = rng.permutation(np.arange(n + m) < m)
            scores = (rng.normal(size=n + m) + 0.5 * anomalous).round(1 if ties else 9)
            assert auc(scores, anomalous) == pytest.approx([roc_auc_score(anomalous, scores)], abs=1e-12)
            expected = roc_auc_score(anomalous, scores, max_fpr=0.1)
            assert auc(scores, anomalous, max_fpr=0.1) == pytest.approx([expected], abs=1e-12)


def test_omega_of_the_papers_table():
    values = np.array(TABLE_2.split(), float).reshape(7, 3) / 100
    assert omega(np.pad(values, ((0, 0), (0, 2)))) == pytest.approx(0.6295, abs=5e-5)
    assert harmonic_mean(values) == omega(np.pad(values, ((0, 0), (0, 2))))
    assert harmonic_mean([0.0, 1.0]) < 1e-15


def test_official_and_own_domain_by_hand():
    scores = np.array([1.0, 2.0, 3.0, 4.0, 1.5, 3.5])
    anomalous = np.array([False, True, False, True, False, True])
    target = np.array([False, False, True, True, True, False])
    row = dict(zip(METRICS, section_metrics(scores, anomalous, target)[0], strict=True))
    row |= decision_metrics(np.array([0, 1, 1, 1, 0, 0]), anomalous, target)
    assert row["auc_source"] == 1.0 and row["auc_source_own"] == 1.0
    assert row["auc_target"] == pytest.approx(5 / 6) and row["auc_target_own"] == 1.0
    assert row["precision"] == pytest.approx((1 + 0.5) / 2)
    assert row["recall"] == pytest.approx((0.5 + 1) / 2)
    assert row["f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_baseline_scores_give_the_published_figures(capsys):
    assert main(["evaluate", str(SCORES)]) == 0
    printed = capsys.readouterr().out
    assert "Ω 57.19 official, 58.44 own-domain" in printed
    rows = {line.split()[0]: line.split()[2:5] for line in printed.splitlines() if " 00 " in line}
    assert rows == {
        "ToyCar": ["73.74", "39.74", "53.05"],
        "ToyCarEmu": ["71.60", "62.50", "54.00"],
        "bearingEmu": ["61.56", "59.18", "59.53"],
        "fan": ["62.10", "48.34", "52.89"],
        "gearboxEmu": ["67.22", "49.56", "52.32"],
        "sliderEmu": ["67.80", "46.48", "50.68"],
        "valveEmu": ["72.12", "71.68", "57.16"],
    }


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(SCORES, tmp_path / "scores")
    return tmp_path / "scores"


def refused(arguments, capsys):
    assert main(["evaluate", *map(str, arguments)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("nearfar: ")
    return lines[0]


def edit(path, change):
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def truth_of(folder, machine="fan"):
    """Write the truth of a machine from its file names, and anonymous names in both files."""
    scores = next(folder.glob(f"*_{machine}_section_00_test.csv"))
    rows = [line.split(",") for line in scores.read_text().splitlines()]
    truth = folder.parent / "truth"
    truth.mkdir()
    lines = []
    for i, (name, _) in enumerate(rows):
        label, domain = ("anomaly" if "anomaly" in name else "normal"), name.split("_")[2]
        lines.append(f"section_00_{i:04d}.wav,{label},{domain}\n")
    (truth / f"{machine}.csv").write_text("".join(lines[::-1]))
    scores.write_text("".join(f"section_00_{i:04d}.wav,{score}\n" for i, (_, score) in enumerate(rows)))
    for other in folder.glob("*.csv"):
        if other != scores:
            other.unlink()
    return truth, scores


def test_truth_folder_gives_the_same_figures(folder):
    before = next(line for line in evaluate_folder(folder).splitlines() if line.startswith("fan,"))
    truth, _ = truth_of(folder)
    assert evaluate_folder(folder, truth).splitlines()[1] == before


def test_a_renamed_row_is_refused(folder, capsys):
    truth, scores = truth_of(folder)
    edit(scores, lambda lines: [lines[0].replace("0000", "9999"), *lines[1:]])
    line = refused([folder, "--truth", truth], capsys)
    assert "section_00_9999.wav is not in the truth (1 unknown, 1 missing)" in line


def test_a_missing_row_is_refused(folder, capsys):
    truth, scores = truth_of(folder)
    edit(scores, lambda lines: lines[:-1])
    assert "lacks section_00_0199.wav of the truth (0 unknown, 1 missing)" in refused(
        [folder, "--truth", truth], capsys
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda lines: [*lines, lines[0]],
            "line 201: section_00_source_test_anomaly_0000_spd_1.wav stands in line 1 already",
        ),
        (lambda lines: ["a,b,c\n", *lines], "line 1: 3 columns; write two, file name and value"),
        (lambda lines: [lines[0].split(",")[0] + ",nan\n", *lines[1:]], "line 1: score 'nan'; write a finite number"),
        (lambda lines: ["section_00_0000.wav,1\n", *lines], "has no label in its name; give the ground truth"),
        (lambda lines: [*lines[:3], "\n", *lines[3:]], "line 4: empty; delete it"),
        (lambda lines: ["file,score\n", *lines], "line 1: a header; delete it"),
        (lambda lines: ["\ufeff", *lines], "line 1: begins with a byte order mark"),
        (lambda lines: [lines[0].replace(",", ",1e999"), *lines[1:]], "line 1: score '1e999"),
        (lambda lines: [lines[0].replace("section_00", "section_01"), *lines[1:]], "is no test clip of section 00"),
        (lambda lines: [], "section_00_test.csv: no clip in it; write one row a test clip"),
        (lambda lines: [line for line in lines if "target_test_normal" not in line], "no target normal test clip"),
    ],
)
def test_faulty_score_files_are_refused(folder, capsys, change, message):
    edit(folder / "anomaly_score_fan_section_00_test.csv", change)
    assert message in refused([folder], capsys)


def decide(folder, words, machine="fan"):
    """Write decisions of a machine, one of the words after the other."""
    scores = folder / f"anomaly_score_{machine}_section_00_test.csv"
    files = [line.split(",")[0] for line in scores.read_text().splitlines()]
    decisions = folder / f"decision_result_{machine}_section_00_test.csv"
    decisions.write_text("".join(f"{file},{words[i % len(words)]}\n" for i, file in enumerate(files)))
    return decisions


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["1", "-1"], "line 2: decision '-1'; write 0 or 1; of scikit-learn's -1 and 1, 1 is normal"),
        (["0", "1", "2"], "line 3: decision '2'; write 0 or 1\n"),
        (["0.7"], "line 1: decision '0.7'; write 0 or 1\n"),
        (["True"], "line 1: decision 'True'; write 0 or 1\n"),
    ],
)
def test_decisions_other_than_0_and_1_are_refused(folder, capsys, words, message):
    decisions = decide(folder, words)
    assert f"{decisions}, {message}" in refused([folder], capsys) + "\n"


def test_decisions_of_other_clips_are_refused(folder, capsys):
    decisions = decide(folder, ["0", "1"])
    assert main(["evaluate", str(folder)]) == 0
    capsys.readouterr()
    edit(decisions, lambda lines: lines[1:])
    assert "of the scores (0 unknown, 1 missing); name the same clips" in refused([folder], capsys)


@pytest.mark.parametrize("label", ["normal", "anomaly"])
def test_truth_that_names_a_clip_twice_is_refused(folder, capsys, label):
    truth, _ = truth_of(folder)
    edit(truth / "fan.csv", lambda lines: ["file,label,domain\n", *lines, f"section_00_0199.wav,{label},source\n"])
    line = refused([folder, "--truth", truth], capsys)
    assert f"{truth}/fan.csv, line 202: section_00_0199.wav stands in line 2 already; delete one" in line


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("section_00_0200.wav,odd,source", "line 1: not file,label,domain with normal|anomaly"),
        ("section_00_0200.wav,normal", "line 1: not file,label,domain"),
        ("section_00_0200.wav,0,both", "line 1: not file,label,domain with normal|anomaly and source|target; mend it"),
        ("section_00_0200.wav,0,source", "lacks section_00_0200.wav of the truth (0 unknown, 1 missing)"),
    ],
)
def test_faulty_truth_is_refused(folder, capsys, row, message):
    truth, _ = truth_of(folder)
    edit(truth / "fan.csv", lambda lines: [f"{row}\n", *lines])
    assert message in refused([folder, "--truth", truth], capsys)


@pytest.mark.parametrize("name", ["{}.csv", "ground_truth_{}_section_00_test.csv", "{}_section_00.csv"])
@pytest.mark.parametrize("longer", ["bath_fan", "fan_fan"])
def test_truth_of_a_machine_whose_name_ends_in_this_ones_is_left_alone(folder, name, longer):
    truth, scores = truth_of(folder)
    expected = evaluate_folder(folder, truth)
    other = (truth / "fan.csv").rename(truth / name.format("fan")).read_text()
    swapped = other.replace("normal", "?").replace("anomaly", "normal").replace("?", "anomaly")
    (truth / name.format(longer)).write_text(swapped)
    assert evaluate_folder(folder, truth) == expected
    shutil.copy(scores, scores.with_name(scores.name.replace("fan", longer)))
    rows = [line.split(",") for line in evaluate_folder(folder, truth).splitlines()]
    assert {row[0] for row in rows[1:3]} == {"fan", longer}
    assert expected.splitlines()[1].split(",") in rows and rows[1][2:4] != rows[2][2:4]


def test_a_machine_without_truth_of_its_own_is_refused(folder, capsys):
    truth, _ = truth_of(folder)
    (truth / "fan.csv").rename(truth / "bath_fan.csv")
    assert f"{truth}: no truth of fan in it; put fan.csv there" in refused([folder, "--truth", truth], capsys)
    for name in ("fan.csv", "ground_truth_fan.csv"):
        shutil.copy(truth / "bath_fan.csv", truth / name)
    assert "fan.csv: ground_truth_fan.csv is the truth of fan too" in refused([folder, "--truth", truth], capsys)


ODD = {
    "an empty file": (lambda path: path.touch(), "no clip in it"),
    "a folder": (lambda path: path.mkdir(), "is no regular file"),
    "a dangling link": (lambda path: path.symlink_to("nowhere"), "cannot be read (no such file or directory)"),
    "a fifo": (os.mkfifo, "is no regular file"),
    "Latin-1": (lambda path: path.write_bytes(b"a,1\n\xe9,1\n"), "line 2: not UTF-8; save it as that"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is no regular file"),
    "an endless line": (lambda path: path.write_bytes(bytes(2**24 + 1)), "holds more than 16,777,216 bytes"),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("place", ["scores", "decisions", "truth"])
def test_instead_of_a_table_is_refused(folder, capsys, kind, place):
    make, message = ODD[kind]
    truth, scores = truth_of(folder)
    path = {"scores": scores, "decisions": decide(folder, ["0"]), "truth": truth / "fan.csv"}[place]
    path.unlink()
    make(path)
    if place == "truth" and kind == "an empty file":
        message = "section_00_0000.wav is not in the truth (200 unknown, 0 missing)"
    assert message in refused([folder, "--truth", truth], capsys)
    assert main(["compare", str(folder), "--truth", str(truth)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.touch(), os.mkfifo], ids=["none", "file", "fifo"]
)
def test_instead_of_a_folder_is_refused(folder, capsys, make):
    place = folder.parent / "place"
    make(place)
    assert refused([place], capsys) == f"nearfar: {place}: no such folder; give the one that holds the csv files"
    assert f"{place}: no such folder" in refused([folder, "--truth", place], capsys)


def test_a_folder_without_scores_is_refused(tmp_path, capsys):
    assert "no anomaly_score_" in refused([tmp_path], capsys)


def test_a_ragged_table_is_refused(tmp_path, capsys):
    path = tmp_path / "eval.csv"
    path.write_bytes(evaluate_folder(SCORES).encode() + b"more\n")
    assert main(["table", str(path)]) == 2
    assert capsys.readouterr().err == f"nearfar: {path}: not a table of Ω; give an eval.csv or the detectors.csv\n"
