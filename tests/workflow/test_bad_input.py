"""Every bad input ends in one line that names the file or key and says what to do."""

import re
import shutil

import pytest
from conftest import ROOT, TOY, Project, write_machine
from faults import (
    FIRST,
    dangling_link,
    empty,
    few,
    folder_among_clips,
    malformed,
    mono,
    nan,
    no_samples,
    no_target,
    no_test,
    not_wav,
    other_rate,
    silent,
    truncated,
)

# fault: what the line must name, what it must say is wrong, and the remedy
FAULTS = {
    mono: (FIRST, "1 channel", "give a wav with near as 0 and far as 1"),
    other_rate: (FIRST, "22050 Hz", "resample"),
    truncated: (FIRST, "cut short", "copy it again"),
    empty: (FIRST, "not a readable wav", "copy it again"),
    no_samples: (FIRST, "no samples", "copy it again"),
    not_wav: (FIRST, "not a readable wav", "copy it again"),
    nan: (FIRST, "NaN", "export it again"),
    silent: (FIRST, "channel 1 is silent", "check the microphone"),
    malformed: ("pump 3 monday.wav", "not a name of the challenge", "rename it to section_00_"),
    no_target: ("no_target", "no target-domain clip", "put two or more normal recordings"),
    few: ("few", "1 target-domain clip", "put two or more normal recordings"),
    no_test: ("no_test", "no test clip", "put the recordings to be judged there"),
    folder_among_clips: (FIRST, "not a readable wav", "copy it again"),
    dangling_link: (FIRST, "not a readable wav", "copy it again"),
}


@pytest.fixture(scope="module")
def keep_going(tmp_path_factory):
    """One run over a sound machine and a machine for every fault; what it printed, and the project."""
    folder = tmp_path_factory.mktemp("faults")
    write_machine(folder / "data", "alpha")
    for fault in FAULTS:
        machine = fault.__name__
        shutil.copytree(folder / "data/alpha", folder / "data" / machine)
        fault(folder / "data" / machine)
    project = Project(folder, TOY)
    machines = ["alpha", *(fault.__name__ for fault in FAULTS)]
    done = project.run(*(f"results/one/scores/{machine}.parquet" for machine in machines), "--keep-going")
    return done, project


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_fault_is_one_line(keep_going, fault):
    done, _ = keep_going
    place, wrong, remedy = FAULTS[fault]
    lines = [line for line in done.stdout.splitlines() if line.startswith("nearfar: ")]
    mine = [line for line in lines if re.search(rf"\b{fault.__name__}\b", line) and place in line]
    assert mine, "\n".join(lines)
    assert all(wrong in line and remedy in line for line in mine)


def test_no_traceback_and_other_machines_finish(keep_going):
    done, project = keep_going
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    scores = project.folder / "results/one/scores"
    assert [path.name for path in scores.iterdir()] == ["alpha.parquet"]
    assert not list(project.folder.rglob("*.part"))


def failing(project, *targets):
    """The one line with which a run over a faulty configuration ends."""
    project.save()
    done = project.run(*(targets or ["results/one/eval.csv"]))
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    lines = [line for line in done.stdout.splitlines() if "nearfar: " in line]
    assert len(lines) == 1, done.stdout
    return lines[0]


CONFIGURATIONS = {
    "unknown detector": (("systems", "one", "weights", "rwa"), 0.1, "systems.one.weights: unknown detector 'rwa'"),
    "unknown system": (("submission", "systems"), ["three"], "submission.systems: unknown system 'three'"),
    "unknown view": (("detectors", "raw", "views"), ["logmel/top"], "detectors.raw.views: unknown view 'logmel/top'"),
    "unknown method": (("detectors", "raw", "method"), "svm", "detectors.raw.method: unknown method 'svm'"),
    "unknown parameter": (("detectors", "raw", "params"), {"k": 1}, "detectors.raw.params: unknown parameter 'k'"),
    "unknown key": (("sede",), 1, "'sede' was unexpected"),
    "unknown machine": (("data", "machines"), ["gamma"], "data.machines: unknown machine 'gamma'"),
    "no such folder": (("data", "root"), "nowhere", "data.root: no machine folder"),
    "unknown value": (("detectors", "flow", "params"), {"reference": "poled"}, "reference: 'poled' is not one of"),
    "too many folds": (("folds",), 9, "folds: 9 folds need as many source-domain training clips, there are 8"),
    "setting of the job": (("features", "lccr", "train"), {"device": "cuda"}, "unknown parameter 'device'"),
    "weights over one": (("systems", "one", "weights"), {"raw": 0.9, "knn": 0.2}, "systems.one.weights: sum to 1.1"),
    "too many components": (("detectors", "flow", "params"), {"components": 50}, "components: 50 principal components"),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configuration_fault(project, name):
    keys, value, message = CONFIGURATIONS[name]
    place = project.config
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    found_by_the_job = name in ("too many folds", "too many components")
    line = failing(project, "results/fits/flow/alpha.safetensors" if found_by_the_job else "results/one/eval.csv")
    assert message in line
    assert ";" in line, "no remedy"


def test_detector_file_with_a_syntax_error(project):
    (project.folder / "src/nearfar/detectors/methods/knn.py").write_text("class Detector(:\n")
    line = failing(project)
    assert "src/nearfar/detectors/methods/knn.py, line 1: syntax error" in line


@pytest.mark.parametrize("fault", ["missing", "extra"])
def test_checkpoint_with_another_key(project, tmp_path, fault):
    from safetensors.numpy import load_file, save_file

    source = ROOT / "tests/data/eat-tiny"
    broken = tmp_path / "broken"
    shutil.copytree(source, broken)
    weights = load_file(broken / "model.safetensors")
    bias = weights.pop("model.pre_norm.bias")
    if fault == "extra":
        weights |= {"model.pre_norm.bias": bias, "model.blocks.9.pre_norm.bias": bias}
    save_file(weights, broken / "model.safetensors")
    project.config["features"]["eat"]["backbone"] |= {"name": "broken"}
    line = failing(project, "results/features/eat/near/alpha.parquet")
    assert "model.safetensors" in line and "pre_norm.bias" in line


def test_full_disk_leaves_nothing_behind(tmp_path):
    from nearfar.errors import NearfarError
    from nearfar.jobs.files import replacing

    def write():
        with replacing(tmp_path / "out.txt") as temporary, open("/dev/full", "w") as full:
            temporary.write_text("half")
            full.write("x" * 100000)
            full.flush()

    with pytest.raises(NearfarError, match="out.txt: cannot be written .no space left on device.; make room"):
        write()
    assert not list(tmp_path.iterdir())


def test_unexpected_error_names_the_log(project):
    module = project.folder / "src/nearfar/detectors/methods/knn.py"
    module.write_text(module.read_text().replace("self.bank_ = _unit(view)", "self.bank_ = 1 / 0"))
    line = failing(project, "results/scores/knn/alpha.parquet")
    assert "ZeroDivisionError" in line and "results/logs/detect/knn_alpha.log" in line
    assert "Traceback" in (project.folder / "results/logs/detect/knn_alpha.log").read_text()
