"""The metric, and the command that computes it from score files."""

import shutil

import numpy as np
import pytest
from conftest import ROOT
from sklearn.metrics import roc_auc_score

from nearfar.cli import main
from nearfar.systems.evaluation import evaluate_folder
from nearfar.systems.metrics import METRICS, auc, decision_metrics, harmonic_mean, omega, section_metrics

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
    assert "section_00_9999.wav is scored but not in the truth (1 unknown, 1 missing)" in line


def test_a_missing_row_is_refused(folder, capsys):
    truth, scores = truth_of(folder)
    edit(scores, lambda lines: lines[:-1])
    assert "section_00_0199.wav has no score" in refused([folder, "--truth", truth], capsys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines, lines[0]], "stands there twice"),
        (lambda lines: ["a,b,c\n", *lines], "line 1: not file,number"),
        (lambda lines: [lines[0].split(",")[0] + ",nan\n", *lines[1:]], "is not finite"),
        (lambda lines: ["section_00_0000.wav,1\n", *lines], "has no label in its name; give the ground truth"),
        (lambda lines: [line for line in lines if "target_test_normal" not in line], "no target normal test clip"),
    ],
)
def test_faulty_score_files_are_refused(folder, capsys, change, message):
    edit(folder / "anomaly_score_fan_section_00_test.csv", change)
    assert message in refused([folder], capsys)


def test_a_folder_without_scores_is_refused(tmp_path, capsys):
    assert "no anomaly_score_" in refused([tmp_path], capsys)
