"""Intervals, paired differences, parts taken out, weights chosen on labels."""

import csv
import shutil

import numpy as np
import pytest
from conftest import ROOT
from coverage import held
from hearing import variants as parts_of_families
from sklearn.metrics import roc_auc_score

from nearfar.cli import main
from nearfar.comparison import bootstrap
from nearfar.comparison.ablation import variants
from nearfar.comparison.compare import compare_sections, holm
from nearfar.comparison.weight_choice import choose, grid, section_values, simplex
from nearfar.systems.metrics import OMEGA, auc, omega, section_metrics
from nearfar.systems.score_folder import folder_sections
from nearfar.systems.sections import Section, sections_of

SCORES = ROOT / "tests/data/baseline_scores"


def section(machine="fan", clips=10, lift=1.0, seed=0):
    """Scores of a section with as many clips in each of the four cells; anomalies lie ``lift`` higher."""
    anomalous, target = np.repeat([False, True], 2 * clips), np.tile(np.repeat([False, True], clips), 2)
    scores = np.random.default_rng(seed).normal(size=4 * clips) + lift * anomalous
    files = np.array([f"{i:04d}.wav" for i in range(4 * clips)], object)
    return Section(machine, "00", files, scores, anomalous, target)


@pytest.mark.parametrize("max_fpr", [0.1, 1])
@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_resampled_areas_are_sklearns(decimals, max_fpr):
    rng = np.random.default_rng(decimals)
    for size in (8, 33, 60):
        anomalous = np.arange(size) % 3 == 0
        target, scores = np.arange(size) % 2 == 0, rng.normal(size=size).round(decimals)
        counts = bootstrap.draws(anomalous, target, 0, 10)
        values = auc(scores, anomalous, counts, max_fpr)
        for count, value in zip(counts.astype(int), values, strict=True):
            drawn = np.repeat(np.arange(size), count)
            expected = roc_auc_score(anomalous[drawn], scores[drawn], max_fpr=max_fpr)
            assert value == pytest.approx(expected, abs=1e-12)


def test_the_first_draw_is_the_sample_and_the_others_keep_the_cells():
    part = section()
    anomalous, target = part.anomalous, part.target
    counts = bootstrap.draws(anomalous, target, 3, 50)
    plain = section_metrics(part.score, anomalous, target)
    assert np.array_equal(bootstrap.resample([part], seed=0, resamples=5)[:1, 0], plain)
    for cell in (anomalous & target, anomalous & ~target, ~anomalous & target, ~anomalous & ~target):
        assert (counts[:, cell].sum(axis=1) == cell.sum()).all()
    assert (counts[0] == 1).all() and len(np.unique(counts[1:], axis=0)) == 50


def test_draws_depend_on_the_machine_alone():
    part, other = section(), section("slider", seed=1)
    words = zip(np.where(part.anomalous, "anomaly", "normal"), np.where(part.target, "target", "source"), strict=True)
    truth = {file: ("00", *facts) for file, facts in zip(part.file, words, strict=True)}
    order = np.random.default_rng(0).permutation(len(part.file))
    (shuffled,) = sections_of("fan", part.file[order], part.score[order], truth)
    alone = bootstrap.resample([part], seed=0, resamples=20)
    both = bootstrap.resample([other, shuffled], seed=0, resamples=20)
    assert np.array_equal(alone[:, 0], both[:, 1])
    assert not np.array_equal(alone, bootstrap.resample([part], seed=1, resamples=20))


@pytest.mark.slow
def test_intervals_cover_the_truth():
    """Few repetitions: an interval of half or of double the width would be found out, no finer fault."""
    share = held(separation=1.0, repetitions=60, resamples=300)
    assert (share >= 0.85).all() and 0.9 <= share.mean() < 0.99  # benchmarks/coverage.py has the figures


def test_spread_of_omega_on_the_baselines_real_scores():
    values = bootstrap.resample(folder_sections(SCORES), seed=0, resamples=1000)
    assert 100 * omega(values)[1:].std() == pytest.approx(1.2, abs=0.1)
    assert 100 * omega(values)[0] == pytest.approx(57.19, abs=0.01)


def test_differences_are_paired_and_named_only_where_settled():
    parts = [section("fan", 30, 0.3), section("slider", 30, 0.3, seed=1)]
    lifted = [part.with_scores(part.score + 1.5 * part.anomalous) for part in parts]
    same = [part.with_scores(3 * part.score + 1) for part in parts]
    figures, pairs = compare_sections({"weak": parts, "same": same, "strong": lifted}, seed=0, resamples=300)
    assert {figure.machine for figure in figures} == {"fan", "slider", "all"}
    assert [(pair.system, pair.against) for pair in pairs if pair.metric == "omega"] == [
        ("weak", "same"),
        ("weak", "strong"),
        ("same", "strong"),
    ]
    equal, weaker, _ = pairs[:3]
    assert equal.value == equal.low == equal.high == equal.detectable == 0
    assert equal.p == 1 and equal.spearman == pytest.approx(1) and equal.verdict == "not settled"
    assert weaker.verdict == "worse" and weaker.p_holm < 0.05
    _, swapped = compare_sections({"strong": lifted, "weak": parts}, seed=0, resamples=300)
    assert [pair.verdict for pair in swapped] == ["better"] * len(OMEGA)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.8]) == [1, 1]


def test_variants():
    systems = {"core": {}, "one": {"raw": 0.5, "knn": 0.1}, "two": {"raw": 0.2}, "solo": {"raw": 1.0}}
    detectors = {"m": None, "f": None, "raw": None, "knn": None, "raw_literal": "raw", "m_literal": "m"}
    found = variants(systems, ["m", "f"], detectors, "one")
    weights = {name: about for _, name, about, _ in found}
    assert len(weights) == len(found)
    assert all(sum(about.values()) == pytest.approx(1) for about in weights.values())
    assert weights["core + raw"] == pytest.approx({"m": 1 / 3, "f": 1 / 3, "raw": 1 / 3})
    assert weights["one - raw"] == pytest.approx({"m": 0.4, "f": 0.4, "knn": 0.2})
    assert weights["one, m_literal for m"] == pytest.approx({"m_literal": 0.2, "f": 0.2, "raw": 0.5, "knn": 0.1})
    assert "solo" not in weights and weights["raw_literal"] == {"raw_literal": 1}
    assert all(variant.against in weights for variant in found if variant.against)


def test_a_system_of_families_is_left_out_of_the_ablation_with_a_word(capsys):
    systems, detectors = {"one": {"raw": 0.5}, "many": None}, {"m": None, "f": None, "raw": None}
    assert variants(systems, ["m", "f"], detectors, "one") == variants(
        {"one": {"raw": 0.5}}, ["m", "f"], detectors, "one"
    )
    said = "nearfar: many has families, not weights, and is left out of the ablation\n"
    assert capsys.readouterr().err == said


def test_parts_of_families_stand_alone_and_are_taken_out():
    found = parts_of_families({"a": ["x", "y"], "b": ["z"]}, "mean")
    families = {name: about["families"] for name, about in found.items()}
    assert families["alone: family a"] == {"a": ["x", "y"]} and families["without: family a"] == {"b": ["z"]}
    assert families["alone: x"] == {"a": ["x"]} and families["without: x"] == {"a": ["y"], "b": ["z"]}
    assert families["without: family b"] == families["alone: family a"]
    assert families["system5 by log_p"] == {"a": ["x", "y"], "b": ["z"]}
    combined = {name: about["combine"] for name, about in found.items()}
    assert combined.pop("system5 by log_p") == "log_p" and combined.pop("system5 by soft_maximum") == "soft_maximum"
    assert set(combined.values()) == {"mean"} and "alone: z" not in found


def test_simplex():
    ways = simplex(3, 4)
    assert len(ways) == 15 and len(np.unique(ways, axis=0)) == 15
    assert (ways >= 0).all() and ways.sum(axis=1) == pytest.approx(1)
    assert simplex(1, 4).tolist() == [[1.0]]


def test_weights_are_chosen_without_the_machine_left_out():
    good = {name: section(name, 20, 2.0, seed) for seed, name in enumerate(("fan", "slider"))}
    bad = {name: section(name, 20, 0.0, seed + 7) for seed, name in enumerate(("fan", "slider"))}
    ranked = {"m": [bad["fan"], good["slider"]], "raw": [good["fan"], bad["slider"]]}
    candidates = grid(["raw"], ["m"], 4)
    values = section_values(ranked, candidates)
    assert candidates[choose(values, [1])]["m"] == 1  # on slider, m is all that hears
    assert candidates[choose(values, [0])].get("m", 0) == 0
    assert values[-1, 0] == pytest.approx(section_values({"m": [bad["fan"]]}, [{"m": 1.0}])[0, 0])


def test_compare_command(tmp_path, capsys):
    same, shorter = tmp_path / "same", tmp_path / "shorter"
    shutil.copytree(SCORES, same)
    shutil.copytree(SCORES, shorter)
    next(shorter.glob("anomaly_score_*.csv")).unlink()
    assert main(["compare", str(SCORES), str(same), "--out", str(tmp_path / "page.md")]) == 0
    page = capsys.readouterr().out
    assert page.count("57.19 [") == 2 and "+0.00 [+0.0, +0.0]" in page and page == (tmp_path / "page.md").read_text()
    assert main(["compare", str(SCORES), str(shorter)]) == 2
    assert "shorter: no score of" in capsys.readouterr().err
    assert main(["compare", str(SCORES), str(SCORES)]) == 2
    assert "given twice" in capsys.readouterr().err


@pytest.mark.slow
def test_tables_of_the_workflow(project):
    project.config["detectors"]["raw_nearest"] = project.config["detectors"]["raw"] | {
        "other_form_of": "raw",
        "normalization": {"reference": "nearest"},
    }
    project.save()
    done = project.run("results/compare.csv", "results/ablation.csv", "results/weights.csv")
    assert done.returncode == 0, done.stdout
    tables = {}
    for name in ("compare", "ablation", "weights"):
        with open(project.folder / f"results/{name}.csv", newline="") as file:
            tables[name] = list(csv.DictReader(file))
    assert {row["system"] for row in tables["compare"]} == {"one", "two"}
    assert {row["group"] for row in tables["ablation"]} >= {"core", "alone", "system", "taken out", "literal"}
    whole = next(row for row in tables["compare"] if row["system"] == "two" and row["metric"] == "omega")
    assert whole["value"] == next(row for row in tables["ablation"] if row["variant"] == "two")["omega"]
    assert whole["value"] == next(row for row in tables["weights"] if row["choice"] == "fixed")["omega"]
    page = (project.folder / "results/compare.md").read_text()
    assert [cell.strip() for cell in page.splitlines()[-4].strip("|").split("|")] == ["machine", "one", "two"]
