"""The whole workflow on a small simulated factory: all detectors, systems 1 to 5, the same bytes every time."""

import csv
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import CONFIG, TOY, Project, write_machine
from exported import small_installation

import nearfar
from nearfar.data.clips import read_clips
from nearfar.export.clips import score_file
from nearfar.jobs.files import read_table, read_vectors

FEATURES = CONFIG["features"]
SMALL = {
    "factory": CONFIG["factory"]
    | {"machines": ["fan", "slider"], "seconds": 1.5, "train_source": 26, "train_target": 6, "test": 5},
    "features": FEATURES
    | {
        "eat": {
            "channels": ["near", "far"],
            "bands": ["near", "residual"],
            "backbone": {
                "name": "untrained",
                "revision": None,
                "sha256": None,
                "config": {"embed_dim": 32, "depth": 2, "num_heads": 2},
            },
            "adapter": FEATURES["eat"]["adapter"] | {"epochs": 1, "batch": 16},
            "pooling": "columns",
            "layers": None,
            "batch": 8,
            "precision": "float32",
        },
        "lccr": FEATURES["lccr"] | {"train": FEATURES["lccr"]["train"] | {"epochs": 2, "batch": 16}},
        "classifier": FEATURES["classifier"] | {"train": FEATURES["classifier"]["train"] | {"epochs": 2, "crop": 32}},
        "autoencoder": FEATURES["autoencoder"] | {"epochs": 2, "singular": "pseudo_inverse"},
    },
    "data": {},
}
TARGETS = [f"results/system{i}/eval.csv" for i in range(1, 6)]


def few_components(project):
    for name in ("flow", "lccr_flow", "c1"):
        project.config["detectors"][name]["params"] = {"components": 8}
    project.save()
    return project


def ran(folder, cores):
    project = few_components(Project(folder, SMALL))
    others = ["results/system1/ranking.csv", "results/detectors.csv", "results/models/eat/probe.csv"]
    done = project.run(*TARGETS, *others, cores=cores)
    assert done.returncode == 0, done.stdout
    return project, done


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return ran(tmp_path_factory.mktemp("first"), cores=2)


def outputs(project):
    """Every result, by its path below results/, but for logs, benchmarks and the audio."""
    folder = project.folder / "results"
    skipped = {"logs", "benchmarks", "factory"}
    files = [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] not in skipped]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_table_is_printed_and_complete(first):
    project, done = first
    table = (project.folder / TARGETS[0]).read_text().splitlines()
    assert [line.split(",")[0] for line in table] == ["machine", "fan", "slider", "all"]
    assert "Ω" in done.stdout and "system5/eval.csv" in done.stdout
    for line in table[1:]:
        assert all(0 <= float(cell) <= 100 for cell in line.split(",")[2:] if cell)


def test_every_detector_scores_every_clip(first):
    project, _ = first
    clips = read_clips(project.folder / f"results/clips/{split}/fan.parquet" for split in ("train", "test"))["file"]
    for name in project.config["detectors"]:
        scores = read_table(project.folder / f"results/normalized/{name}/fan.parquet")
        assert list(scores["file"]) == list(clips)
        assert np.isfinite(scores["score"]).all()
        assert len(np.unique(scores["score"][scores["split"] == "test"])) == 20


def test_the_ranking_names_files_to_listen_to(first):
    project, _ = first
    with open(project.folder / "results/system1/ranking.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 20 and all((project.folder / row["path"]).is_file() for row in rows)


def test_another_run_gives_the_same_bytes_and_one_core_the_same_scores(first, tmp_path):
    """On one core jobs run in another order; nothing but the order may change."""
    expected = outputs(first[0])
    again = outputs(ran(tmp_path, cores=1)[0])
    assert expected.keys() == again.keys()
    assert [name for name in expected if expected[name] != again[name]] == []


def test_few_jobs_a_machine(first):
    project, _ = first
    jobs = project.planned(*TARGETS[:1], "--forceall")
    assert sum("machine=fan" in words for _, words in jobs) <= 32


def test_scoring_fewer_machines_trains_nothing_again(first):
    project, _ = first
    project.config["data"]["machines"] = ["fan"]
    project.save()
    planned = project.planned(*TARGETS)
    project.config["data"]["machines"] = None
    project.save()
    assert planned == {("evaluate", f"system=system{i}") for i in range(1, 6)}
    assert project.planned(*TARGETS) == set()


def test_features_of_one_machine_do_not_depend_on_the_others(first, tmp_path):
    project = few_components(Project(tmp_path, SMALL | {"factory": SMALL["factory"] | {"machines": ["slider"]}}))
    path = "results/features/frozen/train/slider.parquet"  # the adapted ones depend on all training machines
    assert project.run(path).returncode == 0
    assert np.array_equal(read_vectors(project.folder / path)[1], read_vectors(first[0].folder / path)[1])


def test_evaluation_machine_and_sections(tmp_path):
    """Unlabelled clips are ranked, not evaluated; a machine of two sections has two rows."""
    for machine in ("alpha", "beta"):
        write_machine(tmp_path / "data", machine)
    for number, path in enumerate(sorted((tmp_path / "data/beta/test").iterdir())):
        path.rename(path.with_name(f"section_00_{number:04d}.wav"))
    for path in sorted((tmp_path / "data/alpha").glob("*/*.wav")):
        shutil.copy(path, path.with_name(path.name.replace("section_00", "section_03")))
    project = Project(tmp_path, TOY)
    done = project.run("results/one/eval.csv", "results/one/ranking.csv")
    assert done.returncode == 0, done.stdout
    assert "beta has no labelled test clips and is left out" in done.stdout
    rows = [line.split(",")[:2] for line in (tmp_path / "results/one/eval.csv").read_text().splitlines()[1:]]
    assert rows == [["alpha", "00"], ["alpha", "03"], ["all", ""]]
    assert (tmp_path / "results/one/ranking.csv").read_text().count("\nbeta,") == 8
    project.config["data"]["machines"] = ["beta"]
    project.save()
    done = project.run("results/one/eval.csv")
    assert done.returncode != 0 and "with the target <system>/ranking.csv" in done.stdout
    assert "Traceback" not in done.stdout


def test_real_recordings(shared, tmp_path):
    """The raw detector on the emulated lathe, end to end; ../shared/real/README.md has 80 and 85 for its like."""
    real = tmp_path / "real"
    real.mkdir()
    (real / "Lathe").symlink_to(shared / "real/Lathe")
    for table in ("sources.csv", "noise.csv"):
        lines = (shared / "real" / table).read_text().splitlines(keepends=True)
        (real / table).write_text("".join([lines[0], *(line for line in lines if "Lathe" in line)]))
    tool = [sys.executable, str(shared / "tools/emulate.py"), str(real), str(tmp_path / "data")]
    subprocess.run(tool, check=True)
    toy = TOY | {
        "training": CONFIG["training"],
        "systems": {"one": {"weights": {"raw": 1.0}}},
    }
    toy["features"] = {"logmel": FEATURES["logmel"]}
    project = Project(tmp_path / "project", toy | {"data": {"root": str(tmp_path / "data")}})
    done = project.run("results/one/eval.csv")
    assert done.returncode == 0, done.stdout
    with open(project.folder / "results/one/eval.csv", newline="") as file:
        row = next(csv.DictReader(file))
    assert row["machine"] == "Lathe"
    assert float(row["auc_source_own"]) > 70 and float(row["auc_target_own"]) > 75 and float(row["omega"]) > 60


def test_what_is_exported_scores_as_the_batch_does_for_every_system(first):
    project, _ = first
    systems, results = project.config["systems"], project.folder / "results"
    asked = [f"results/{system}/model.nearfar" for system in systems]
    asked += [f"results/{system}/scores/{machine}.parquet" for system in systems for machine in ("fan", "slider")]
    done = project.run(*asked)
    assert done.returncode == 0, done.stdout
    for system in systems:
        model = nearfar.load(results / system / "model.nearfar")
        for machine in model.machines:
            batch = read_table(results / system / "scores" / f"{machine}.parquet")
            for i in range(0, len(batch["file"]), 4):
                [row] = score_file(model, results / "factory" / machine / "test" / batch["file"][i])
                assert abs(row.scored.score - batch["level"][i]) < 1e-6, (system, row)
                assert row.decision == ("normal", "anomaly")[batch["decision"][i]]
                assert row.scored.threshold == pytest.approx(batch["threshold"][i], abs=1e-9)


def test_every_system_scores_without_the_libraries_of_the_workflow(first, tmp_path):
    project, _ = first
    models = [f"results/{system}/model.nearfar" for system in ("system1", "system5", "baseline_mse")]
    assert project.run(*models).returncode == 0
    clip = sorted((project.folder / "results/factory/fan/test").iterdir())[0]
    for model in models:
        command = [sys.executable, "-m", "nearfar.cli", "score", str(project.folder / model), str(clip)]
        env = small_installation(tmp_path)
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "p 0." in done.stdout, done.stderr
