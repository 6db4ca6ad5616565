"""Ω where test clips of one domain only have labels: the harmonic mean of AUC and pAUC, named so wherever it stands."""

import csv
import io

import numpy as np
import pytest
from conftest import ROOT
from sklearn.metrics import roc_auc_score

from nearfar.cli import main
from nearfar.comparison import bootstrap
from nearfar.comparison.compare import compare_sections, compare_systems
from nearfar.comparison.page import as_page
from nearfar.comparison.results import compare_results
from nearfar.comparison.weight_choice import choose, write_weights
from nearfar.errors import NearfarError
from nearfar.jobs.files import write_table
from nearfar.systems.evaluation import evaluate, evaluate_machines
from nearfar.systems.metrics import METRICS, decision_metrics, omega, section_metrics
from nearfar.systems.results import printed
from nearfar.systems.score_folder import evaluate_folder
from nearfar.systems.sections import sections_of
from nearfar.systems.tables import ONE_DOMAIN, omega_csv

LABELS = ("normal", "anomaly", "anomaly")


def section(machine, domains, clips=36, seed=0, decisions=True):
    """The section of a machine whose test clips are of ``domains`` in turn."""
    files = np.array([f"{i:02d}.wav" for i in range(clips)], object)
    truth = {file: ("00", LABELS[i % 3], domains[i // 3 % len(domains)]) for i, file in enumerate(files)}
    random = np.random.default_rng(seed)
    scores = random.normal(size=clips) + np.array([truth[file][1] == "anomaly" for file in files])
    (part,) = sections_of(machine, files, scores, truth, random.integers(0, 2, clips) if decisions else None)
    return part


def write_machine(folder, part, system="s1"):
    """Write the clip table and the scores of a section as a results folder holds them; return both paths."""
    words = np.where(part.anomalous, "anomaly", "normal"), np.where(part.target, "target", "source")
    label, domain = (list(map(str, each)) for each in words)
    count = len(part.file)
    clips, scores = folder / f"clips/test/{part.machine}.parquet", folder / f"{system}/scores/{part.machine}.parquet"
    about = {"file": part.file, "section": ["00"] * count, "split": ["test"] * count}
    write_table(clips, about | {"label": label, "domain": domain})
    write_table(scores, {"file": part.file, "split": ["test"] * count, "score": part.score, "decision": part.decision})
    return clips, scores


def harmonic(*values):
    return len(values) / sum(1 / value for value in values)


def figures(part):
    """AUC and pAUC by scikit-learn, all clips together."""
    return roc_auc_score(part.anomalous, part.score), roc_auc_score(part.anomalous, part.score, max_fpr=0.1)


@pytest.mark.parametrize("domain", ["source", "target", None])
def test_omega_is_the_harmonic_mean_of_auc_and_pauc(domain):
    part = section("fan", [domain])
    area, partial = figures(part)
    row, mean = evaluate([part])
    there, other = ("target", "source") if domain == "target" else ("source", "target")
    assert row[f"auc_{there}"] == row[f"auc_{there}_own"] == pytest.approx(area)
    assert row["pauc"] == pytest.approx(partial)
    assert not row.keys() & {f"auc_{other}", f"auc_{other}_own"} and not mean.keys() & {f"auc_{other}"}
    for found in (row["omega"], row["omega_own"], mean["omega"], mean["omega_own"]):
        assert found == pytest.approx(harmonic(area, partial))


@pytest.mark.parametrize("domain", ["source", "target"])
def test_clips_without_a_domain_are_of_the_only_one_that_others_name(domain):
    part, mixed = section("fan", [domain]), section("fan", [domain, None, None])
    assert np.array_equal(mixed.target, part.target) and mixed.absent == part.absent
    assert evaluate([mixed]) == evaluate([part])


def test_clips_without_a_domain_beside_clips_of_two_are_refused():
    with pytest.raises(NearfarError, match="^fan: 06.wav has no domain, other clips are of two; name all alike$"):
        section("fan", ["source", "target", None])


def test_decisions_are_judged_in_the_domain_there_is():
    part = section("fan", ["source"])
    hits = ((part.decision == 1) & part.anomalous).sum()
    found = decision_metrics(part.decision, part.anomalous, part.target)
    assert found["precision"] == pytest.approx(hits / (part.decision == 1).sum())
    assert found["recall"] == pytest.approx(hits / part.anomalous.sum())


def test_omega_over_all_is_the_harmonic_mean_over_all_values_there_are():
    parts = [section("fan", ["source", "target"]), section("pump", ["source"], seed=1)]
    fan, pump, mean = evaluate(parts)
    values = [fan["auc_source"], fan["auc_target"], fan["pauc"], pump["auc_source"], pump["pauc"]]
    assert mean["omega"] == pytest.approx(harmonic(*values))
    assert mean["auc_target"] == fan["auc_target"]
    assert mean["auc_source"] == pytest.approx(harmonic(fan["auc_source"], pump["auc_source"]))
    assert mean["f1"] == pytest.approx(harmonic(fan["f1"], pump["f1"]))
    cells = [row["auc_target"] for row in csv.DictReader(io.StringIO(omega_csv([fan, pump, mean])))]
    assert cells == [f"{100 * fan['auc_target']:.2f}", "", cells[0]]


@pytest.mark.parametrize(
    ("one", "other", "line"),
    [
        (["source"], [None], f"{ONE_DOMAIN}: {{omega}} (percent)"),
        (["source", "target"], ["source"], f"{ONE_DOMAIN}: pump"),
        (["source", "target"], ["target", "source"], "Ω {omega} official, {omega_own} own-domain (percent)"),
    ],
)
def test_the_last_line_names_what_omega_is_of(tmp_path, one, other, line):
    paths = [write_machine(tmp_path, section(name, which)) for name, which in (("fan", one), ("pump", other))]
    clips, scores = (dict(zip(("fan", "pump"), column, strict=True)) for column in zip(*paths, strict=True))
    evaluate_machines(clips, scores, tmp_path / "eval.csv", unscored={})
    *_, row = csv.DictReader(io.StringIO((tmp_path / "eval.csv").read_text()))
    assert printed(tmp_path / "eval.csv").splitlines()[-1] == line.format(**row)
    detectors = tmp_path / "detectors.csv"
    detectors.write_text(
        omega_csv([row_ | {"machine": "knn"} for row_ in evaluate([section("fan", one)])[-1:]], "detector")
    )
    assert (printed(detectors).splitlines()[-1] == ONE_DOMAIN) == (len(one) == 1)


@pytest.mark.parametrize("missing", ["normal", "anomaly"])
@pytest.mark.parametrize("domain", ["source", "target"])
def test_a_domain_with_one_kind_of_clip_is_refused_by_name(domain, missing):
    other, kept = {"source": "target", "target": "source"}[domain], {"normal": "anomaly", "anomaly": "normal"}[missing]
    facts = [(label, other) for label in LABELS] + [(kept, domain)]
    truth = {f"{i}.wav": ("00", *fact) for i, fact in enumerate(facts)}
    with pytest.raises(NearfarError, match=f"fan, section 00: no {domain} {missing} test clip, so Ω is not defined"):
        sections_of("fan", np.array(list(truth)), np.arange(4.0), truth)


def test_score_files_of_the_challenge_have_both_domains(tmp_path, capsys):
    folder = tmp_path / "scores"
    folder.mkdir()
    for path in (ROOT / "tests/data/baseline_scores").glob("*_fan_section_00_test.csv"):
        lines = path.read_text().splitlines(keepends=True)
        (folder / path.name).write_text("".join(line for line in lines if "_target_" not in line))
    with pytest.raises(NearfarError, match="fan, section 00: no target normal test clip"):
        evaluate_folder(folder)


def test_draws_keep_the_cells_there_are_and_leave_the_other_domain_nan():
    part = section("fan", ["source"])
    counts = bootstrap.draws(part.anomalous, part.target, 0, 30)
    for cell in (part.anomalous, ~part.anomalous):
        assert (counts[:, cell].sum(axis=1) == cell.sum()).all()
    values = bootstrap.resample([part], seed=0, resamples=30)
    absent = [name for name, column in zip(METRICS, values[0, 0], strict=True) if np.isnan(column)]
    assert absent == ["auc_target", "auc_target_own"]
    assert np.isnan(values).sum() == 2 * len(values)
    expected = [harmonic(*row[[0, 2]]) for row in values[:, 0]]
    np.testing.assert_allclose(omega(values), expected)
    np.testing.assert_allclose(omega(values, "omega_own"), expected)


def test_a_comparison_has_no_figure_of_an_absent_domain_and_says_so(tmp_path):
    parts = [section("fan", ["source", "target"]), section("pump", ["source"], seed=1)]
    better = [part.with_scores(part.score + 2 * part.anomalous) for part in parts]
    found, pairs = compare_sections({"weak": parts, "strong": better}, seed=0, resamples=50)
    assert not [one for one in found if one.machine == "pump" and "target" in one.metric]
    assert np.isfinite([bound for one in (*found, *pairs) for bound in (one.value, one.low, one.high)]).all()
    page = as_page(found, pairs, 50, {})
    assert f"\n{ONE_DOMAIN}: pump.\n" in page and "nan" not in page and "## auc_target\n" in page
    alone, _ = compare_sections({"weak": parts[1:]}, seed=0, resamples=50)
    page = as_page(alone, [], 50, {})
    assert f"\n{ONE_DOMAIN}: pump.\n" in page and "## auc_target" not in page and "## auc_source\n" in page
    assert ONE_DOMAIN not in as_page(*compare_sections({"weak": parts[:1]}, seed=0, resamples=50), 50, {})


def test_tables_of_a_mixture_have_empty_cells(tmp_path):
    paths = [
        write_machine(tmp_path, section("fan", ["source", "target"])),
        write_machine(tmp_path, section("pump", ["source"])),
    ]
    clips, scores = (dict(zip(("fan", "pump"), column, strict=True)) for column in zip(*paths, strict=True))
    compare_systems(clips, {"s1": scores}, tmp_path / "c.csv", tmp_path / "c.md", seed=0, resamples=20, unscored={})
    rows = list(csv.DictReader(io.StringIO((tmp_path / "c.csv").read_text())))
    assert {row["metric"] for row in rows if row["machine"] == "pump"} == {"auc_source", "auc_source_own", "pauc"}
    normalized = {name: scores for name in ("a", "b", "c")}
    write_weights(
        {"c": 0.5}, ["a", "b"], clips, normalized, tmp_path / "w.csv", steps=2, seed=0, resamples=20, unscored={}
    )
    rows = list(csv.DictReader(io.StringIO((tmp_path / "w.csv").read_text())))
    assert {row["auc_target"] == "" for row in rows if row["machine"] == "pump"} == {True}
    assert all(row["omega"] for row in rows if row["machine"] == "all")
    values = section_metrics(*(getattr(section("pump", ["source"]), key) for key in ("score", "anomalous", "target")))
    assert choose(np.stack([values, values + 0.1]), [0]) == 1


@pytest.mark.parametrize("tables", [True, False])
def test_results_of_one_domain_are_compared(tmp_path, tables, capsys):
    for name, seed in (("one", 0), ("other", 1)):
        parts = [section("fan", ["source"], seed=seed), section("pump", ["source", "target"], seed=seed)]
        for part in parts:
            write_machine(tmp_path / name, part)
        if tables:
            (tmp_path / name / "s1/eval.csv").write_text(omega_csv(evaluate(parts)))
            for path in (tmp_path / name / "s1/scores").iterdir():
                path.unlink()
    page = compare_results([str(tmp_path / "one"), str(tmp_path / "other")])
    assert f"\n{ONE_DOMAIN}: fan.\n" in page and "nan" not in page
    row = next(line for line in page.splitlines() if line.startswith("| fan "))
    expected = 100 * evaluate([section("fan", ["source"])])[0]["omega"]
    assert float(row.split("|")[2]) == pytest.approx(expected, abs=0.01)
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "other")]) == 0
    capsys.readouterr()
