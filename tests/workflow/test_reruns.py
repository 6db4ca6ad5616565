"""What a change reruns: exactly what depends on it (reference: the signature test of the workflow)."""

import copy
import os
import shutil

import numpy as np
import pytest
import soundfile
from conftest import CONFIG, ROOT, TOY, Project, noise, write_machine

from nearfar.jobs.files import read_table

TARGETS = ["results/one/eval.csv", "results/two/eval.csv"]
FLOW = "src/nearfar/detectors/methods/flow.py"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reruns")
    for machine in ("alpha", "beta"):
        write_machine(folder / "data", machine)
    project = Project(folder, TOY)
    done = project.run(*TARGETS)
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture
def after(ran, tmp_path):
    """A copy of the project that has run, so that each test starts from the same state."""
    shutil.copytree(ran.folder, tmp_path / "copy", copy_function=shutil.copy2)
    project = Project.__new__(Project)
    project.folder, project.config = tmp_path / "copy", copy.deepcopy(ran.config)
    return project


def flow_jobs():
    jobs = {("evaluate", f"system={system}") for system in ("one", "two")}
    for machine in ("alpha", "beta"):
        jobs.add(("detect", f"detector=flow, machine={machine}"))
        jobs |= {("fuse", f"system={system}, machine={machine}") for system in ("one", "two")}
    return jobs


def test_nothing_changed(after):
    assert after.planned(*TARGETS) == set()


def test_every_file_touched(after):
    for path in after.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts and "results" not in path.parts:
            os.utime(path)
    assert after.planned(*TARGETS) == set()


def test_flow_edited_and_put_back(after):
    module = after.folder / FLOW
    text = module.read_text()
    module.write_text(text + "\n# a change\n")
    assert after.planned(*TARGETS) == flow_jobs()
    module.write_text(text)
    assert after.planned(*TARGETS) == set()


def test_detector_added_to_the_configuration_only(after):
    after.config["detectors"] = after.config["detectors"] | {"raw2": {"method": "knn", "views": ["logmel/near"]}}
    after.save()
    assert after.planned(*TARGETS) == set()


def test_detector_added_to_one_system(after):
    after.config["detectors"] = after.config["detectors"] | {"raw2": {"method": "knn", "views": ["logmel/near"]}}
    after.config["systems"] = after.config["systems"] | {"one": {"weights": {"raw": 0.5, "raw2": 0.1}}}
    after.save()
    expected = {("evaluate", "system=one")}
    for machine in ("alpha", "beta"):
        expected.add(("detect", f"detector=raw2, machine={machine}"))
        expected |= {("fuse", f"system=one, machine={machine}")}
    assert after.planned(*TARGETS) == expected


def test_one_weight_changed(after):
    after.config["systems"] = after.config["systems"] | {"two": {"weights": {"knn": 0.4, "raw": 0.2}}}
    after.save()
    expected = {("fuse", f"system=two, machine={machine}") for machine in ("alpha", "beta")}
    assert after.planned(*TARGETS) == expected | {("evaluate", "system=two")}


def test_normalization_changed(after):
    """One job fits, scores and normalizes; other detectors keep theirs."""
    raw = after.config["detectors"]["raw"] | {"normalization": {"reference": "nearest"}}
    after.config["detectors"] = after.config["detectors"] | {"raw": raw}
    after.save()
    detected = {job for job in after.planned(*TARGETS) if job[0] == "detect"}
    assert detected == {("detect", f"detector=raw, machine={machine}") for machine in ("alpha", "beta")}


def test_machine_added(after):
    write_machine(after.folder / "data", "gamma")
    planned = after.planned(*TARGETS)
    assert {job for job in planned if "machine=" in job[1] and "gamma" not in job[1]} == set()
    assert {rule for rule, _ in planned} == {"clips", "feature", "detect", "fuse", "evaluate"}


def test_clip_replaced_by_another_of_the_same_length(after):
    clips = sorted((after.folder / "data/beta/train").iterdir())
    shutil.copy(clips[1], clips[0])
    planned = after.planned(*TARGETS)
    assert {("clips", f"split={split}, machine=beta") for split in ("train", "test")} <= planned
    assert {job for job in planned if "machine=alpha" in job[1]} == set()
    assert after.run("results/clips/train/beta.parquet").returncode == 0  # and then the run is broken off
    assert ("feature", "feature=logmel, channel=near, machine=beta") in after.planned(*TARGETS)


def test_the_first_samples_of_a_clip_count(after):
    clip = min((after.folder / "data/beta/train").iterdir())
    wave, rate = soundfile.read(clip, dtype="int16")
    wave[: rate // 5] //= 2
    times = os.stat(clip)
    soundfile.write(clip, wave, rate, subtype="PCM_16")
    os.utime(clip, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert ("clips", "split=train, machine=beta") in after.planned(*TARGETS)


def replaced_by_an_older(path, text):
    path.write_text(text)
    os.utime(path, (10**9, 10**9))


@pytest.mark.parametrize("change", [" # a change\n", "\n"])
def test_source_file_replaced_by_one_with_an_older_time(after, change):
    module = after.folder / FLOW
    replaced_by_an_older(module, module.read_text() + change)
    assert after.planned(*TARGETS) == flow_jobs()


def test_local_backbone_edited(after):
    shutil.copytree(ROOT / "tests/data/eat-tiny", after.folder / "tiny")
    after.config["features"]["eat"]["backbone"]["name"] = "tiny"
    after.save()
    assert after.run("results/models/backbone/config.json").returncode == 0
    assert after.planned("results/models/backbone/config.json") == set()
    config = after.folder / "tiny/config.json"
    replaced_by_an_older(config, config.read_text().replace("1e-06", "1e-05"))
    assert after.planned("results/models/backbone/config.json") == {("backbone", "")}


@pytest.mark.parametrize(
    ("view", "models"),
    [
        ("lccr/pair", {("lccr_model", "")}),
        ("classifier/near", {("classifier_model", f"channel=near, fold={fold}") for fold in range(3)}),
    ],
)
def test_universal_model_is_not_retrained_for_a_scored_machine(after, view, models):
    after.config["detectors"] = after.config["detectors"] | {"l": {"method": "knn", "views": [view], "folds": 3}}
    after.save()
    target = "results/scores/l/beta.parquet"
    rules = {rule for rule, _ in models} | {"classes"}
    before = {job for job in after.planned(target) if job[0] in rules}
    assert before == models | {("classes", "machine=alpha")}


FAMILIES = {"combine": "mean", "families": {"logmel": ["raw", "raw_residual"], "nearest": ["knn"]}}
FUSED = "results/fused/eval.csv"


@pytest.fixture
def with_families(after):
    """The project with a system of families, which has run."""
    residual = {"method": "mahalanobis", "views": ["logmel/residual"]}
    after.config["detectors"] = after.config["detectors"] | {"raw_residual": residual}
    after.config["systems"] = {"fused": FAMILIES} | after.config["systems"]
    after.save()
    done = after.run(FUSED)
    assert done.returncode == 0, done.stdout
    return after


def fused_jobs(*machines):
    return {("fuse", f"system=fused, machine={machine}") for machine in machines} | {("evaluate", "system=fused")}


def test_a_changed_family_fuses_again_and_nothing_else(with_families):
    after = with_families
    assert after.planned(FUSED, *TARGETS) == set()
    for change in ({"combine": "soft_maximum"}, {"families": {"all": ["raw", "raw_residual", "knn"]}}):
        after.config["systems"]["fused"] = FAMILIES | change
        after.save()
        assert after.planned(FUSED, *TARGETS) == fused_jobs("alpha", "beta")


def test_a_far_microphone_beside_the_near_one_leaves_its_residual_out(with_families):
    after = with_families
    for clip in (after.folder / "data/beta").rglob("*.wav"):
        wave, rate = soundfile.read(clip)
        wave[:, 1] = np.roll(wave[:, 0], 2) + 0.1 * wave[:, 1]
        soundfile.write(clip, wave, rate, subtype="PCM_16")
    done = after.run(FUSED)
    assert done.returncode == 0, done.stdout
    said = {line.strip() for line in done.stdout.splitlines() if "its far microphone hears what" in line}
    assert len(said) == 1 and "nearfar: warning: beta: " in said.pop()
    scores = {
        machine: read_table(after.folder / f"results/fused/scores/{machine}.parquet") for machine in ("alpha", "beta")
    }
    after.config["systems"]["fused"] = FAMILIES | {"families": {"logmel": ["raw"], "nearest": ["knn"]}}
    after.save()
    assert after.run(FUSED).returncode == 0
    for machine, left_out in (("alpha", False), ("beta", True)):
        without = read_table(after.folder / f"results/fused/scores/{machine}.parquet")["score"]
        assert np.array_equal(without, scores[machine]["score"]) == left_out


# --- every kind of trained model, and what new clips ask of them

FEATURES = CONFIG["features"]
KNN = {"method": "knn", "folds": 3}
LEARNED = TOY | {
    "training": CONFIG["training"] | {"machines": ["alpha", "beta"]},
    "features": TOY["features"]
    | {
        "eat": FEATURES["eat"]
        | {
            "channels": ["near"],
            "bands": [],
            "backbone": FEATURES["eat"]["backbone"] | {"name": "tiny"},
            "adapter": FEATURES["eat"]["adapter"] | {"epochs": 1, "batch": 8},
        },
        "lccr": FEATURES["lccr"] | {"train": FEATURES["lccr"]["train"] | {"epochs": 1, "batch": 8, "crop": 8}},
        "classifier": FEATURES["classifier"]
        | {"train": FEATURES["classifier"]["train"] | {"epochs": 1, "batch": 8, "crop": 8}},
        "autoencoder": FEATURES["autoencoder"] | {"epochs": 1, "singular": "pseudo_inverse"},
    },
    "detectors": {
        "raw": {"method": "mahalanobis", "views": ["logmel/near"]},
        "eat": KNN | {"views": ["eat/near"]},
        "lccr": KNN | {"views": ["lccr/pair"]},
        "classifier": KNN | {"views": ["classifier/near"]},
        "autoencoder": KNN | {"views": ["autoencoder/near"]},
    },
    "core": ["raw"],
    "systems": {"one": {"weights": {"eat": 0.2, "lccr": 0.2, "classifier": 0.2, "autoencoder": 0.2}}},
}
UNIVERSAL = ("eat", "lccr", "classifier")  # what one model, trained on all machines, embeds
EVAL = "results/one/eval.csv"


def learned_project(folder, data=None):
    """The project with its data, those of ``data`` or of its own, which has run."""
    if data:
        shutil.copytree(data, folder / "data")
    else:
        for machine in ("alpha", "beta"):
            write_machine(folder / "data", machine)
    shutil.copytree(ROOT / "tests/data/eat-tiny", folder / "tiny")
    project = Project(folder, LEARNED)
    done = project.run(EVAL)
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    return learned_project(tmp_path_factory.mktemp("learned"))


@pytest.fixture
def trained(learned, tmp_path):
    """A copy of the project with every kind of trained model, which has run."""
    shutil.copytree(learned.folder, tmp_path / "copy", copy_function=shutil.copy2)
    project = Project.__new__(Project)
    project.folder, project.config = tmp_path / "copy", copy.deepcopy(learned.config)
    return project


def feature_job(name, machine):
    channels = {"logmel": "feature=logmel, channel=near, ", "classifier": "channel=near, "}
    return "feature" if name == "logmel" else name, f"{channels.get(name, '')}machine={machine}"


def scoring_jobs(machine, names=("logmel", *UNIVERSAL, "autoencoder")):
    """What embeds and scores the clips of a machine once all models are there."""
    detectors = ["raw" if name == "logmel" else name for name in names]
    jobs = {feature_job(name, machine) for name in names}
    jobs |= {("detect", f"detector={name}, machine={machine}") for name in detectors}
    return jobs | {("fuse", f"system=one, machine={machine}"), ("evaluate", "system=one")}


def add(folder):
    wave = noise(("added",))
    soundfile.write(folder / "test/section_00_source_test_normal_0009_a_1.wav", wave, 16000, subtype="PCM_16")


def replace(folder):
    path = min((folder / "test").iterdir())
    soundfile.write(path, noise(("replaced",)), 16000, subtype="PCM_16")


def remove(folder):
    max((folder / "test").iterdir()).unlink()


TEST_CHANGES = (add, replace, remove)


@pytest.mark.slow
@pytest.mark.parametrize("change", TEST_CHANGES)
def test_a_test_clip_runs_what_scores_its_machine_and_trains_nothing(trained, change):
    assert trained.planned(EVAL) == set()
    change(trained.folder / "data/beta")
    assert trained.planned(EVAL) == {("clips", "split=test, machine=beta")} | scoring_jobs("beta")


def results(project, *parts):
    """Every result but logs and benchmarks, or those of some folders, by its path below results/."""
    folder = project.folder / "results"
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in files if path.parts[0] in (parts or {p.parts[0] for p in files} - {"logs", "benchmarks"})]
    return {str(path): (folder / path).read_bytes() for path in kept}


@pytest.mark.slow
def test_renewed_results_are_those_of_a_fresh_run_and_fits_and_models_stay(trained, tmp_path):
    before, scores = results(trained, "fits", "models", "classes"), results(trained, "scores")
    for change in TEST_CHANGES:
        change(trained.folder / "data/beta")
        done = trained.run(EVAL)
        assert done.returncode == 0, done.stdout
        assert results(trained, "fits", "models", "classes") == before
        assert trained.planned(EVAL) == set()
    after = results(trained, "scores")
    assert {path for path in after if after[path] != scores[path]} == {path for path in scores if "beta" in path}
    fresh = results(learned_project(tmp_path / "fresh", data=trained.folder / "data"))
    kept = results(trained)
    assert kept.keys() == fresh.keys() and [path for path in fresh if kept[path] != fresh[path]] == []


@pytest.mark.slow
def test_a_training_clip_trains_its_machine_and_what_all_machines_share(trained):
    path = min((trained.folder / "data/beta/train").iterdir())
    soundfile.write(path, noise(("replaced",)), 16000, subtype="PCM_16")
    planned = trained.planned(EVAL)
    models = {("adapter", ""), ("lccr_model", "")} | {
        ("classifier_model", f"channel=near, fold={fold}") for fold in range(3)
    }
    assert models | {("autoencoder_model", "machine=beta"), ("classes", "machine=beta")} <= planned
    assert scoring_jobs("beta") <= planned
    assert {job for job in planned if "machine=alpha" in job[1]} == {
        job for job in scoring_jobs("alpha", UNIVERSAL) if job[0] != "evaluate"
    }


@pytest.mark.slow
def test_a_machine_that_is_not_trained_on_runs_its_jobs_alone(trained):
    write_machine(trained.folder / "data", "gamma", test=1)
    own = {("clips", f"split={split}, machine=gamma") for split in ("train", "test")}
    assert trained.planned(EVAL) == own | {("autoencoder_model", "machine=gamma")} | scoring_jobs("gamma")
