"""The submission: what is written, and that each rule of the format is checked, with file and line."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import CONFIG, TOY, Project, write_machine
from safetensors.numpy import save_file

from nearfar.challenge.metadata import describe
from nearfar.challenge.submission import PLACEHOLDERS, development, write_system, write_zip
from nearfar.cli import main
from nearfar.errors import NearfarError
from nearfar.jobs.files import write_table
from nearfar.systems.tables import omega_csv

ABOUT = CONFIG["submission"] | {"label": "Jeong_Medisensing", "systems": ["system1", "system2"]}
EVAL = """machine,section,auc_source,auc_target,pauc,omega,precision,recall,f1
fan,00,72.12,84.80,63.16,72.00,50.00,60.00,54.55
all,,72.12,84.80,63.16,72.00,50.00,60.00,54.55
"""
ONE, TWO = "Jeong_Medisensing_task2_1", "Jeong_Medisensing_task2_2"
SCORE, DECISION = "anomaly_score_{}_section_00_test.csv".format, "decision_result_{}_section_00_test.csv".format
META = f"{ONE}/{ONE}.meta.yaml"
FAN = f"{ONE}/{SCORE('fan')}"
SAW = f"{TWO}/{DECISION('saw')}"


def make(folder, about=ABOUT):
    """Write a zip of two systems and two machines of five clips each; return its path."""
    folder.mkdir(exist_ok=True)
    files = [f"section_00_{i:04d}.wav" for i in (3, 1, 0, 2, 4)]
    scores = [folder / f"{machine}.parquet" for machine in ("fan", "saw")]
    for seed, path in enumerate(scores):
        score = np.random.default_rng(seed).random(5)
        write_table(path, {"file": files, "score": score, "decision": score > 0.5})
    (folder / "eval.csv").write_text(EVAL)
    (folder / "report.pdf").write_bytes(b"%PDF-1.7\n")
    save_file({"a": np.zeros((3, 4), np.float32), "b": np.zeros(5)}, folder / "model.safetensors", {"x": "y"})
    save_file({"c": np.array(1.0), "training_scores": np.zeros(40)}, folder / "fit.safetensors")
    models = [folder / "model.safetensors", folder / "fit.safetensors"]
    for system in about["systems"]:
        used = {name: CONFIG["detectors"][name] for name in ("mahalanobis", "lccr_flow")}
        named = {"system": system, "about": about, "description": describe(used, CONFIG["features"])}
        write_system(["fan", "saw"], scores, folder / system, models=models, table=folder / "eval.csv", **named)
    path = folder / "submission.zip"
    write_zip([folder / s for s in about["systems"]], path, label=about["label"], report=folder / "report.pdf")
    return path


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return make(tmp_path_factory.mktemp("package"))


@pytest.fixture
def data(tmp_path):
    """The test clips' names in the challenge's layout, and a labelled machine that need not be scored."""
    for machine in ("fan", "saw"):
        for number in range(5):
            path = tmp_path / f"data/eval_data/raw/{machine}/test/section_00_{number:04d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / "data/dev_data/raw/valve/test").mkdir(parents=True)
    (tmp_path / "data/dev_data/raw/valve/test/section_00_source_test_normal_0000_noAttribute.wav").touch()
    return tmp_path / "data"


def test_the_zip_is_accepted_and_holds_what_was_scored(package, data, capsys):
    assert main(["validate", str(package), "--clips", str(data), "--count", "5"]) == 0
    assert capsys.readouterr().out == f"{package}: 2 systems, 2 machines, 20 scores, no breach\n"
    with zipfile.ZipFile(package) as archive:
        rows = archive.read(FAN).decode().splitlines()
        assert rows[3] == f"section_00_0003.wav,{np.random.default_rng(0).random(5).tolist()[0]}"
        assert archive.read(f"{ONE}/{DECISION('fan')}").decode().splitlines()[3] == "section_00_0003.wav,1"
        assert archive.read("Jeong_Medisensing_task2.technical_report.pdf").startswith(b"%PDF")
        meta = yaml.safe_load(archive.read(META))
    assert meta["submission"]["label"] == ONE and meta["submission"]["authors"][0]["corresponding"] is True
    assert meta["system"]["complexity"]["total_parameters"] == 3 * 4 + 5 + 1
    assert meta["system"]["description"]["machine_learning_method"] == "flow, mahalanobis"
    assert meta["system"]["description"]["embeddings"] == "EAT eat-small with LoRA, LCCR"
    percent = {"auc_source": 72.12, "auc_target": 84.8, "pauc": 63.16, "precision": 50, "recall": 60, "f1": 54.55}
    assert meta["results"] == {"development_dataset": {"fan": percent}}


@pytest.mark.parametrize(
    ("names", "combine", "says"),
    [
        (["raw", "knn"], None, "weighted mean of ranks"),
        (["raw", "knn"], "soft_maximum", "soft_maximum of families, by ranks among normal clips"),
        (["raw"], "mean", None),
    ],
)
def test_the_metadata_say_how_a_system_fuses(names, combine, says):
    used = {name: CONFIG["detectors"][name] for name in names}
    assert describe(used, CONFIG["features"], combine)["decision_making"] == says


def test_the_same_scores_give_the_same_bytes(package, tmp_path):
    assert make(tmp_path / "again").read_bytes() == package.read_bytes()


def test_a_zip_that_breaks_a_rule_is_not_written(package, tmp_path, capsys):
    (tmp_path / ONE).mkdir()
    (tmp_path / ONE / SCORE("fan")).write_text("section_00_0000.wav,1\n")
    with pytest.raises(Exception, match="x.zip: not written, .*missing; add it .2 breaches"):
        write_zip([tmp_path], tmp_path / "x.zip", label="Jeong_Medisensing")
    assert not list(tmp_path.glob("*.zip*"))


def edit(file, change):
    return lambda root: (root / file).write_text(change((root / file).read_text()))


def line(number, text, file=FAN):
    """A change of one line, counted from 1, of a file."""

    def change(before):
        lines = before.splitlines(keepends=True)
        lines[number - 1] = text(lines[number - 1]) if callable(text) else text
        return "".join(lines)

    return edit(file, change)


def raw(file, data):
    return lambda root: (root / file).write_bytes(data)


def rename(old, new):
    return lambda root: (root / old).rename(root / new)


def five_systems(root):
    for number in (3, 4, 5):
        label = f"Jeong_Medisensing_task2_{number}"
        shutil.copytree(root / ONE, root / label)
        meta = (root / label / f"{ONE}.meta.yaml").rename(root / label / f"{label}.meta.yaml")
        meta.write_text(meta.read_text().replace(ONE, label))


def in_all_files(root):
    for path in root.glob(f"*/*_fan_*{Path(FAN).suffix}"):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


LACKS = f"{FAN}: lacks section_00_000"
# mutation: what its breaches say, in the order they are listed
MUTATIONS = {
    "folder's name": (
        rename(TWO, "Jeong_task2_2"),
        ["Jeong_task2_2/: not a system's folder; name it", "Jeong_task2_2.meta.yaml: missing", "not a file of"],
    ),
    "another submission": (
        lambda root: [rename(TWO, "Kim_X_task2_1")(root), rename(f"Kim_X_task2_1/{TWO}.meta.yaml", "report.pdf")(root)],
        ["Kim_X_task2_1/: another", "Kim_X_task2_1.meta.yaml: missing", "report.pdf: neither"],
    ),
    "five systems": (five_systems, ["task2_5/: not a system's folder", "task2_5/: 5 systems, 4 are allowed"]),
    "no metadata": (lambda root: (root / META).unlink(), [f"{META}: missing; add it"]),
    "metadata not YAML": (line(3, "\tname: x\n", META), [f"{META}, line 3: not YAML"]),
    "metadata of another label": (
        line(2, f"  label: {TWO}\n", META),
        [f"{META}, line 2: submission.label is {TWO}, the folder is {ONE}; make them equal"],
    ),
    "long abbreviation": (
        edit(META, lambda text: text.replace(": nearfar1", ": nearfar and more")),
        [f"{META}, line 4: submission.abbreviation: 'nearfar and more' is too long; give at most 10"],
    ),
    "no corresponding author": (
        edit(META, lambda text: text.replace("corresponding: true", "corresponding: false")),
        [f"{META}, line 5: submission.authors: "],
    ),
    "parameters in words": (
        edit(META, lambda text: text.replace("total_parameters: 18", "total_parameters: few")),
        ["system.complexity.total_parameters: 'few' is not of type 'integer'; give the number"],
    ),
    "no percentage": (
        edit(META, lambda text: text.replace("84.8", "8480")),
        ["results.development_dataset.fan.auc_target: 8480 is greater"],
    ),
    "a file too many": (raw(f"{ONE}/notes.txt", b""), [f"{ONE}/notes.txt: not a file of the format; name it"]),
    "a file beside the folders": (raw("readme.md", b""), ["readme.md: neither in a system's folder nor a report"]),
    "a report that is none": (raw("report.pdf", b"x"), ["report.pdf: neither"]),
    "section 01": (
        rename(FAN, FAN.replace("_00_", "_01_")),
        ["section_01_test.csv: not a file of the format", f"{FAN}: missing; add it"],
    ),
    "no decisions": (lambda root: (root / SAW).unlink(), [f"{SAW}: missing; add it"]),
    "a machine too few": (
        lambda root: [path.unlink() for path in (root / TWO).glob("*saw*")],
        [f"{TWO}/{SCORE('saw')}: missing", f"{SAW}: missing"],
    ),
    "a machine too many": (
        lambda root: [
            (root / label / name).write_bytes((root / label / kind("saw")).read_bytes())
            for label in (ONE, TWO)
            for kind in (SCORE, DECISION)
            for name in [kind("sow")]
        ],
        ["sow: no such machine in"],
    ),
    "a header": (edit(FAN, lambda text: "file,score\n" + text), [f"{FAN}, line 1: a header; delete it"]),
    "three columns": (
        line(2, "section_00_0001.wav,0.5,1\n"),
        [f"{FAN}, line 2: 3 columns; write two"],
    ),
    "another separator": (
        line(2, lambda text: text.replace(",", ";")),
        [f"{FAN}, line 2: 1 columns", LACKS + "1.wav of the data; add its row"],
    ),
    "an empty line": (edit(FAN, lambda text: text + "\n"), [f"{FAN}, line 6: empty; delete it"]),
    "a training clip": (
        line(1, "section_00_source_train_normal_0000_x.wav,0.5\n"),
        [f"{FAN}, line 1: 'section_00_source_train_normal_0000_x.wav' is no test clip of section 00", LACKS + "0"],
    ),
    "a clip twice": (
        line(5, "section_00_0001.wav,0.5\n"),
        [f"{FAN}, line 5: section_00_0001.wav stands in line 2 already; delete one", LACKS + "4"],
    ),
    "a renamed clip": (
        line(5, "section_00_0009.wav,0.5\n"),
        [f"{FAN}, line 5: section_00_0009.wav is not among the clips of the data; delete it", LACKS + "4"],
    ),
    "a clip missing everywhere": (in_all_files, ["lacks section_00_0004.wav of the data; add its row"] * 4),
    "not a number": (line(4, "section_00_0003.wav,high\n"), [f"{FAN}, line 4: score 'high'; write a finite number"]),
    "not finite": (line(4, "section_00_0003.wav,nan\n"), [f"{FAN}, line 4: score 'nan'; write a finite number"]),
    "infinite": (line(4, "section_00_0003.wav,1e999\n"), [f"{FAN}, line 4: score '1e999'; write a finite"]),
    "a decision of 2": (
        line(4, "section_00_0003.wav,2\n", SAW),
        [f"{SAW}, line 4: decision '2'; write 0 or 1"],
    ),
    "a decision of 1.0": (line(4, "section_00_0003.wav,1.0\n", SAW), ["decision '1.0'; write 0 or 1"]),
    "another encoding": (
        raw(FAN, b"section_00_0000.wav,1\nsection_00_0001.wav,\xe9\n"),
        [f"{FAN}, line 2: not UTF-8; save it as that"],
    ),
    "a byte order mark": (edit(FAN, lambda text: "\ufeff" + text), [f"{FAN}, line 1: begins with a byte order mark"]),
    "no rows": (raw(FAN, b""), [f"{FAN}: no clip in it"]),
}


def refused(capsys, *arguments):
    """The breaches that validate lists; its status and last line are checked here."""
    assert main(["validate", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    found = printed.out.splitlines()
    assert printed.err == f"nearfar: {arguments[0]}: breaches of the format: {len(found)}; mend them\n"
    return found


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_rule_is_checked(package, data, tmp_path, capsys, name):
    mutate, messages = MUTATIONS[name]
    root = tmp_path / "package"
    with zipfile.ZipFile(package) as archive:
        archive.extractall(root)
    mutate(root)
    found = refused(capsys, root, "--clips", data)
    assert len(found) == len(messages), found
    for breach, message in zip(found, messages, strict=True):
        assert message in breach and ";" in breach


def test_without_the_data_the_file_that_differs_is_named(package, tmp_path, capsys):
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path)
    line(1, "")(tmp_path)
    assert refused(capsys, tmp_path) == [f"{FAN}: lacks section_00_0000.wav of most files of fan; add its row"]
    found = refused(capsys, tmp_path, "--count", 5)
    assert found[1] == f"{FAN}: 4 clips, 5 are expected; score each test clip once"


def test_an_unscored_machine_is_refused(package, data, capsys):
    for file in (data / "eval_data/raw/fan/test").iterdir():
        path = data / "eval_data/raw/sander/test" / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (found,) = refused(capsys, package, "--clips", data)
    assert found.startswith("sander: not scored, though")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("../out.csv", "../out.csv: leads out of the folder"),
        ("/etc/x.csv", "/etc/x.csv: leads out of the folder"),
        (FAN, f"{FAN}: stands in the zip twice"),
        ("a\nb", "a\\nb: neither in a system's folder"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_unsafe_zip_entries_are_refused(package, tmp_path, capsys, entry, message):
    path = tmp_path / "copy.zip"
    path.write_bytes(package.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, "x")
    (found,) = refused(capsys, path)
    assert message in found


def test_broken_zips_and_empty_folders_end_in_one_line(package, tmp_path, capsys):
    damaged = bytearray(package.read_bytes())
    damaged[damaged.index(b"section_00_0003.wav,") + 25] ^= 1
    (tmp_path / "bits.zip").write_bytes(damaged)
    assert "cannot be unpacked (Bad CRC-32" in refused(capsys, tmp_path / "bits.zip")[0]
    (tmp_path / "cut.zip").write_bytes(damaged[:200])
    (tmp_path / "empty").mkdir()
    for name, message in (("cut.zip", "no readable zip"), ("empty", "no folder <"), ("gone", "no such file")):
        assert main(["validate", str(tmp_path / name)]) == 2
        printed = capsys.readouterr()
        assert message in printed.err and printed.err.count("\n") == 1 and not printed.out


def test_the_placeholders_of_the_configuration_are_warned_of(tmp_path, capsys):
    make(tmp_path, CONFIG["submission"])
    assert len(CONFIG["submission"]["systems"]) == 4
    warned = capsys.readouterr().err
    assert f"nearfar: Surname_Affiliation_task2_4: still holds {' and '.join(PLACEHOLDERS)}; fill in" in warned
    assert main(["validate", str(tmp_path / "submission.zip")]) == 0


@pytest.mark.slow
def test_an_evaluation_machine_from_clips_to_zip(tmp_path):
    """The unlabelled machine is submitted, the labelled one gives the development results, the other's are absent."""
    for machine in ("alpha", "beta"):
        write_machine(tmp_path / "data", machine)
    for number, path in enumerate(sorted((tmp_path / "data/beta/test").iterdir())):
        path.rename(path.with_name(f"section_00_{number:04d}.wav"))
    toy = TOY | {"core": ["raw"], "systems": {"one": {"weights": {}}}, "detectors": {"raw": TOY["detectors"]["raw"]}}
    project = Project(tmp_path, toy)
    project.config["submission"]["machines"] = ["beta"]
    project.save()
    done = project.run("results/submission.zip")
    assert done.returncode == 0 and "task2_1: still holds Surname_Affiliation" in done.stdout, done.stdout
    assert main(["validate", str(tmp_path / "results/submission.zip"), "--clips", str(tmp_path / "data")]) == 0
    (path,) = (tmp_path / "results/one/submission").glob("*/*.meta.yaml")
    meta = yaml.safe_load(path.read_text())
    assert list(meta["results"]["development_dataset"]) == ["alpha"]
    assert [file.name for file in sorted(path.parent.glob("*.csv"))] == [SCORE("beta"), DECISION("beta")]
    project.config["data"]["machines"] = ["beta"]
    project.save()
    assert ("evaluate", "system=one") not in project.planned("results/submission.zip")
    for key, value in (("machines", ["gamma"]), ("report", "gone.pdf")):
        project.config["submission"] |= {"machines": None, key: value}
        project.save()
        done = project.run("results/submission.zip", "-n")
        (said,) = [text for text in done.stdout.splitlines() if "nearfar: " in text]
        assert done.returncode != 0 and f"submission.{key}: " in said and "Traceback" not in done.stdout


def test_a_machine_of_one_domain_is_not_reported(tmp_path):
    table = tmp_path / "eval.csv"
    row = {"auc_source": 0.7, "pauc": 0.6, "precision": 0.5, "recall": 0.5, "f1": 0.5}
    both = {"machine": "pump", "section": "00", "auc_target": 0.6}
    table.write_text(omega_csv([both | row]))
    assert development(table)["pump"]["auc_target"] == 60
    table.write_text(omega_csv([both | row, {"machine": "fan", "section": "00"} | row]))
    with pytest.raises(NearfarError, match="eval.csv: fan has no auc_target, which a submission reports; leave it out"):
        development(table)
