"""The challenge's data set as config/dcase2026.yaml describes it: its real names, and what is not as expected."""

import gzip
import re
from collections import defaultdict

import conftest
import numpy as np
import pytest
import soundfile
import yaml
from challenge import CONFIG, make, snakemake
from conftest import ROOT, noise, write_machine
from faults import malformed, mono, other_rate

from nearfar import settings
from nearfar.challenge import sets as challenge
from nearfar.challenge.verify import summary, unexpected
from nearfar.cli import main
from nearfar.data.dataset import SPLITS, wav_files
from nearfar.data.names import parse
from nearfar.errors import NearfarError

SETS = yaml.safe_load(CONFIG.read_text())["data"]["sets"]


def test_the_real_names_are_as_expected(shared):
    clips = defaultdict(dict)
    for name in gzip.decompress((shared / "reference/dcase2026_filenames.txt.gz").read_bytes()).decode().split():
        machine, split, file = name.split("/")
        clips[machine][split, file] = parse(file, split), 10
    expected = challenge.expected(SETS)
    assert clips.keys() == expected.keys()
    for machine in clips:
        assert unexpected("", clips[machine], expected[machine] | {"seconds": [10]}) == []
    clips["fan"].popitem()
    assert len(unexpected("", clips["fan"], expected["fan"] | {"seconds": [10]})) == 1


@pytest.mark.slow
def test_dry_run_over_real_names(tmp_path):
    make(tmp_path, (ROOT / "tests/data/real_names.txt").read_text().split(), SETS)
    out = f"{tmp_path}/results"
    targets = [f"{out}/system{i}/{table}.csv" for i in (1, 2, 3, 4) for table in ("eval", "ranking")]
    done = snakemake(tmp_path, out, [*targets, "--dry-run", "--quiet", "rules"])
    counts = dict(line.split() for line in done.stdout.splitlines() if len(line.split()) == 2)
    assert [counts[rule] for rule in ("clips", "detect", "fuse", "adapter", "ranking")] == ["24", "96", "48", "1", "4"]
    assert not counts.keys() & {"record", "archive", "unpack", "verify"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda data: data.update(root=None), "data.root: null"),
        (
            lambda data: data["sets"].update(more=data["sets"]["development"]),
            "sets.more.machines.ToyCar: another set has",
        ),
        (lambda data: data["sets"]["evaluation"].update(folder="elsewhere"), "has that machine in eval_data/raw"),
    ],
    ids=["no folder", "a machine twice", "a machine in two folders"],
)
def test_sets_with(change, fault):
    config = conftest.CONFIG | {"data": conftest.CONFIG["data"] | yaml.safe_load(CONFIG.read_text())["data"]}
    change(config["data"])
    with pytest.raises(NearfarError, match=re.escape(fault)):
        settings.check(config, yaml.safe_load((ROOT / "config/schema.yaml").read_text()))
        challenge.places(config["data"]["sets"])


FILE = "section_00_source_train_normal_0000_spd_1.wav"
TEST = {f"{domain}_test_{label}": 2 for domain in ("source", "target") for label in ("normal", "anomaly")}
EXPECTED = {
    "clips": TEST | {"source_train_normal": 8, "target_train_normal": 4},
    "seconds": [0.5],
    "attributes": ["spd"],
}


ROW = "| alpha | 8 | 4 | 8 | 8 | 0.5 | spd |"  # but for its padding


def table(folder):
    """Write the machine's attributes_00.csv and return its path and lines."""
    names = [f"alpha/{split}/{file}" for split in SPLITS for file in wav_files(folder, split)]
    rows = ["file_name,d1p,d1v,d2p,d2v", *(f"{name},spd,1,," for name in names)]
    path = folder / "attributes_00.csv"
    path.write_text("\n".join(rows))
    return path, rows


def three_channels(folder):
    soundfile.write(folder / "train" / FILE, np.c_[noise(("x",)), noise(("x",))[:, 0]], 16000, subtype="PCM_16")


def too_long(folder):
    soundfile.write(folder / "train" / FILE, noise(("x",), 0.75), 16000, subtype="PCM_16")


def missing(folder):
    (folder / "train" / FILE).unlink()
    table(folder)


def other_attribute(folder):
    (folder / "train" / FILE).rename(folder / "train" / FILE.replace("spd", "load"))
    (folder / "attributes_00.csv").unlink()


def other_value_in_the_table(folder):
    path, rows = table(folder)
    path.write_text("\n".join(row.replace(f"{FILE},spd,1", f"{FILE},spd,2") for row in rows))


def clip_in_the_table_alone(folder):
    path, rows = table(folder)
    path.write_text("\n".join([*rows, "alpha/train/gone.wav,spd,1,,"]))


def clip_not_in_the_table(folder):
    path, rows = table(folder)
    path.write_text("\n".join(row for row in rows if FILE not in row))


FAULTS = {
    mono: f"train/{FILE}: has 1 channel where 2 are needed",
    three_channels: f"train/{FILE}: has 3 channels, not 2",
    other_rate: f"train/{FILE}: sampled at 22050 Hz, not 16000 Hz",
    malformed: "train/pump 3 monday.wav: not a name of the challenge",
    too_long: f"train/{FILE}: lasts 0.75 s, not 0.5",
    missing: "alpha: 7 source_train_normal clips, not 8",
    other_attribute: f"train/{FILE.replace('spd', 'load')}: has attributes load, not spd",
    other_value_in_the_table: "attributes_00.csv, line 2: spd=2 is not what the clip's name says",
    clip_in_the_table_alone: "line 22: alpha/train/gone.wav is not there",
    clip_not_in_the_table: f"train/{FILE}: has no line in attributes_00.csv",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_is_a_line_of_the_summary(fault, tmp_path):
    write_machine(tmp_path, "alpha")
    table(tmp_path / "alpha")
    text, faults = summary({"alpha": tmp_path / "alpha"}, {"alpha": EXPECTED})
    assert faults == [] and ROW in " ".join(text.split()) and "All is as expected." in text
    fault(tmp_path / "alpha")
    text, faults = summary({"alpha": tmp_path / "alpha"}, {"alpha": EXPECTED})
    assert faults and all(f"- {line}\n" in text and "\n" not in line for line in faults)
    assert FAULTS[fault] in faults[0], faults


def test_the_command_verify(tmp_path, capsys):
    write_machine(tmp_path / "mine", "alpha")
    assert main(["verify", str(tmp_path / "mine")]) == 0
    assert ROW in " ".join(capsys.readouterr().out.split())
    make(tmp_path, (ROOT / "tests/data/real_names.txt").read_text().split(), SETS)
    for arguments, fault in {
        (): "fan has no target-domain clip; put two or more",
        ("--configfile", str(CONFIG)): "fan: 2 source_train_normal clips, not 990",
    }.items():
        assert main(["verify", str(tmp_path), *arguments]) == 2
        out, error = capsys.readouterr()
        assert fault in out and error.count("\n") == 1 and "mend what the lines above name" in error
    assert main(["verify", str(tmp_path), "--configfile", str(ROOT / "config/config.yaml")]) == 2
    assert "config.yaml: no data.sets" in capsys.readouterr().err
