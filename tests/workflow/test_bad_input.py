"""Every bad input ends in one line that names the file or key and says what to do."""

import os
import re
import shutil

import faults
import pytest
from conftest import ROOT, TOY, Project, write_machine
from faults import FIRST, doubtful, stray_files

# fault: what the line must name, what it must say is wrong, and the remedy
FAULTS = {
    "mono": (FIRST, "1 channel", "give a wav with near as 0 and far as 1"),
    "other_rate": (FIRST, "22050 Hz", "resample"),
    "truncated": (FIRST, "cut short", "copy it again"),
    "cut_without_a_size": (FIRST, "cut short", "copy it again"),
    "announces_less": (FIRST, "announces 20000 bytes of sound", "export it again"),
    "empty": (FIRST, "not a readable wav", "copy it again"),
    "no_samples": (FIRST, "no samples", "copy it again"),
    "one_sample": (FIRST, "too short (1 of", "remove it"),
    "far_longer": (FIRST, "lasts 600 s where 20 s is the most", "cut it"),
    "not_wav": (FIRST, "not a readable wav", "copy it again"),
    "compressed": (FIRST, "it holds FLAC", "record or copy it again"),
    "nan": (FIRST, "NaN", "export it again"),
    "silent": (FIRST, "channel 1 is silent", "check the microphone"),
    "equal_channels": (FIRST, "its channels are equal", "give the near and the far microphone's own"),
    "eight_channels": (FIRST, "8 channels, not 2", "give a wav with near as 0 and far as 1"),
    "malformed": ("pump 3 monday.wav", "not a name of the challenge", "rename it to section_00_"),
    "odd_name": (r"_\udcff\x1b[2J.wav", "not UTF-8", "rename it"),
    "no_target": ("no_target", "no target-domain clip", "put two or more normal recordings"),
    "few": ("few", "1 target-domain clip", "put two or more normal recordings"),
    "no_test": ("no_test", "no test clip", "put the recordings to be judged there"),
    "folder_among_clips": (FIRST, "is a folder", "remove it"),
    "dangling_link": (FIRST, "no such file", "copy it again"),
    "unreadable_clip": (FIRST, "no permission to read it", "chmod u+r"),
    "unreadable_split": ("unreadable_split/test", "no permission to list it", "chmod u+rx"),
    "unreadable_folder": ("unreadable_folder", "no permission to list it", "chmod u+rx"),
}
SOUND = ("alpha", "stray_files", "doubtful")
ODD_MACHINE = r"caf\udce9"  # as a folder named in Latin-1 is shown
ROOT_OBEYS = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]  # permissions, in a container


@pytest.fixture(scope="module")
def keep_going(tmp_path_factory):
    """One run over sound machines and a machine for every fault; what it printed, and the project."""
    folder = tmp_path_factory.mktemp("faults")
    write_machine(folder / "data", "alpha")
    for machine in (*SOUND[1:], *FAULTS, os.fsdecode(b"caf\xe9")):
        shutil.copytree(folder / "data/alpha", folder / "data" / machine)
    for machine in FAULTS:
        getattr(faults, machine)(folder / "data" / machine)
    stray_files(folder / "data/stray_files"), doubtful(folder / "data/doubtful")
    project = Project(folder, TOY)
    if os.geteuid() == 0 and shutil.which("setpriv"):
        project.before = ROOT_OBEYS
    machines = [*SOUND, *FAULTS, ODD_MACHINE]
    done = project.run(*(f"results/one/scores/{machine}.parquet" for machine in machines), "--keep-going")
    yield done, project
    for machine in ("unreadable_folder", "unreadable_split/test"):
        (folder / "data" / machine).chmod(0o700)


def lines(done):
    return [line for line in done.stdout.splitlines() if line.startswith("nearfar: ")]


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_one_line(keep_going, fault):
    done, project = keep_going
    if fault.startswith("unreadable") and os.geteuid() == 0 and not project.before:
        pytest.skip("root reads everything, and there is no setpriv")
    place, wrong, remedy = FAULTS[fault]
    mine = [line for line in lines(done) if re.search(rf"\b{fault}\b", line) and place in line]
    assert len(mine) == 1, "\n".join(lines(done))
    assert wrong in mine[0] and remedy in mine[0] and mine[0].isprintable()


def test_a_machine_with_an_odd_name_fails_in_one_line(keep_going):
    mine = [line for line in lines(keep_going[0]) if ODD_MACHINE in line]
    assert len(mine) == 1 and "not UTF-8; rename the folder" in mine[0]


def test_doubts_are_a_line_a_kind(keep_going):
    mine = [line for line in lines(keep_going[0]) if "/doubtful/" in line]
    assert len(mine) == 2 and all(line.startswith("nearfar: warning: ") for line in mine)
    assert all("(and 1 more)" in line for line in mine), mine


def test_no_traceback_and_other_machines_finish(keep_going):
    done, project = keep_going
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    scores = project.folder / "results/one/scores"
    assert sorted(path.stem for path in scores.iterdir()) == sorted(SOUND)
    assert not list((project.folder / "results").rglob("*.part"))


def failing(project, *targets):
    """The one line with which a run over a faulty configuration ends."""
    project.save()
    done = project.run(*(targets or ["results/one/eval.csv"]))
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    lines = [line for line in done.stdout.splitlines() if "nearfar: " in line]
    assert len(lines) == 1, done.stdout
    return lines[0]


def test_a_machine_with_too_long_a_name_stops_while_parsing(project):
    shutil.copytree(project.folder / "data/alpha", project.folder / "data" / ("m" * 245))
    line = failing(project)
    assert "a machine's name of 245 bytes, the most is 150; rename the folder" in line


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
    "folds of a view": (
        ("detectors", "raw"),
        {"method": "mahalanobis", "views": ["classifier/near"], "folds": 5},
        "detectors.raw.folds: 5, but classifier/near is trained in 3 (features.classifier.folds)",
    ),
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


def test_a_single_class_of_all_training_machines_is_nothing_to_tell_apart(project):
    line = failing(project, "results/models/classifier/near/0.safetensors")
    assert "all training clips are of the class alpha/spd_1, so there is nothing to tell apart; train on more" in line


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
    module.write_text(module.read_text().replace("self.bank_ = np.asarray(view)", "self.bank_ = 1 / 0"))
    line = failing(project, "results/scores/knn/alpha.parquet")
    assert "ZeroDivisionError" in line and "results/logs/detect/knn_alpha.log" in line
    assert "Traceback" in (project.folder / "results/logs/detect/knn_alpha.log").read_text()
