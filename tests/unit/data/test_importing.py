"""What nearfar import makes of folders, and what it says."""

import csv
import errno
import os

import numpy as np
import pytest
import soundfile
import yaml

from nearfar.cli import main
from nearfar.data.dataset import AUDIO
from nearfar.data.findings import SAMPLE, evenly
from nearfar.data.importing import UNREADABLE, look, table_text, understand

NAME = "section_00_{}_{}_{}_{:04d}_{}.wav"


def recorded(folder, *files, channels=1, seconds=0.1, rate=8000):
    """Write short recordings of noise."""
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = np.random.default_rng(0).uniform(-0.1, 0.1, (int(seconds * rate), channels))
        soundfile.write(path, wave, rate)


def empty(folder, *files):
    """Write files without content: the layout is in the names."""
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def numbered(pattern, count):
    return [pattern.format(number) for number in range(count)]


def imported(folder, out=None, *options):
    """Return the rows of the table that the command writes."""
    out = out or folder.parent / "clips.csv"
    assert main(["import", str(folder), "--out", str(out), *options]) == 0
    with open(out, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def understood(*paths, root="mine"):
    """Return the row of each path by the path, and the notes, without a disk."""
    machines, notes = understand([os.path.split(path) for path in paths], root)
    rows = list(csv.DictReader(table_text(machines, "").splitlines()))
    return {row.pop("path"): row for row in rows}, notes


def refused(capsys, *arguments):
    """Return the one line in which the command refuses."""
    assert main(["import", *map(str, arguments)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_the_challenges_names_say_everything():
    names = [NAME.format("target", "train", "normal", number, f"spd_{number % 2}") for number in range(4)]
    labelled = NAME.format("source", "test", "anomaly", 7, "noAttribute")
    rows, notes = understood(
        *(f"dev_data/raw/fan/train/{name}" for name in names),
        f"dev_data/raw/fan/test/{labelled}",
        "dev_data/raw/fan/test/section_02_0003.wav",
    )
    assert not notes
    assert rows[f"dev_data/raw/fan/train/{names[1]}"] == {
        "machine": "fan",
        "split": "train",
        "domain": "target",
        "label": "normal",
        "attribute": "spd_1",
        "section": "00",
    }
    assert rows[f"dev_data/raw/fan/test/{labelled}"] == {
        "machine": "fan",
        "split": "test",
        "domain": "source",
        "label": "anomaly",
        "attribute": "",
        "section": "00",
    }
    anonymous = rows["dev_data/raw/fan/test/section_02_0003.wav"]
    assert (anonymous["split"], anonymous["label"], anonymous["section"]) == ("test", "", "02")


@pytest.mark.parametrize("folder", ["fan/", "fan/source_test/", "fan/new/"])
def test_a_name_of_the_challenge_is_understood_in_other_folders_and_as_flac(folder):
    name = NAME.format("source", "test", "anomaly", 0, "spd_1").replace(".wav", ".flac")
    rows, _ = understood(folder + name, "fan/train/a.wav")
    found = rows[folder + name]
    assert (found["machine"], found["split"], found["label"], found["domain"]) == ("fan", "test", "anomaly", "source")


@pytest.mark.parametrize("above", ["", "6_dB_fan/", "data/raw/"])
def test_mimiis_machines_are_named_after_their_type_and_number(above):
    rows, _ = understood(*numbered(above + "fan/id_00/normal/{:08d}.wav", 9), above + "fan/id_04/abnormal/00000000.wav")
    assert {row["machine"] for row in rows.values()} == {"fan_id_00", "fan_id_04"}


def test_the_clips_of_2020_are_told_apart_by_their_names():
    rows, _ = understood("fan/train/normal_id_00_00000000.wav", "fan/test/anomaly_id_00_00000001.wav",
                         "fan/test/id_02_00000001.wav")  # fmt: skip
    assert [(row["machine"], row["split"], row["label"]) for row in rows.values()] == [
        ("fan_id_00", "test", "anomaly"),
        ("fan_id_02", "test", ""),
        ("fan_id_00", "train", "normal"),
    ]


@pytest.mark.parametrize(("anomalous", "held_out"), [(4, 4), (10, 10), (50, 10), (1, 1)])
def test_some_normal_clips_are_held_out_where_no_folder_is_for_testing(anomalous, held_out):
    normal = numbered("fan/id_00/normal/{:08d}.wav", 30)
    rows, notes = understood(*normal, *numbered("fan/id_00/abnormal/{:08d}.wav", anomalous))
    splits = [rows[path]["split"] for path in normal]
    assert (splits.count("test"), splits.count("train")) == (held_out, 30 - held_out)
    assert {row["label"] for row in rows.values() if row["split"] == "test"} == {"normal", "anomaly"}
    assert "chosen by a hash of their names" in notes[0][1]


def test_what_is_held_out_depends_neither_on_the_place_nor_on_the_order():
    here = [*numbered("pump/normal/{}.wav", 30), *numbered("pump/faulty/{}.wav", 5)]
    first, _ = understood(*here)
    moved, _ = understood(*(f"site/{path}" for path in reversed(here)))
    assert {path: row["split"] for path, row in moved.items()} == {
        f"site/{p}": row["split"] for p, row in first.items()
    }


def test_each_domain_has_its_part_of_what_is_held_out():
    paths = numbered("pump/source/normal/{}.wav", 60) + numbered("pump/target/normal/{}.wav", 30)
    rows, _ = understood(*paths, *numbered("pump/target/abnormal/{}.wav", 100))
    held = [row["domain"] for path, row in rows.items() if row["split"] == "test" and row["label"] == "normal"]
    assert (held.count("source"), held.count("target")) == (20, 10)


@pytest.mark.parametrize("split", ["train", "test"])
def test_nothing_is_held_out_beside_folders_of_the_splits(split):
    rows, notes = understood(*numbered("pump/normal/{}.wav", 9), "pump/bad/0.wav", f"pump/{split}/normal/x.wav")
    assert all(rows[path]["split"] == "train" for path in numbered("pump/normal/{}.wav", 9))
    assert not notes


@pytest.mark.parametrize("word", ["abnormal", "anomaly", "anomalous", "faulty", "bad", "Abnormal"])
def test_folders_name_the_labels(word):
    rows, _ = understood("pump/train/monday/a.wav", f"pump/test/{word}/loud/b.wav", "pump/test/normal/c.wav")
    assert {path: (row["split"], row["label"]) for path, row in rows.items()} == {
        f"pump/test/{word}/loud/b.wav": ("test", "anomaly"),
        "pump/test/normal/c.wav": ("test", "normal"),
        "pump/train/monday/a.wav": ("train", "normal"),
    }


@pytest.mark.parametrize(
    "file", ["2024-05-01_12-00.flac", "20240501T120000.wav", "1714564800.wav", "lauf 1, blau.ogg", "größe.mp3", "a.W64"]
)
def test_new_is_unlabelled_test_at_any_depth_and_a_date_is_no_attribute(file):
    normal, new = f"hall/pump/normal/2024/05/{file}", f"hall/pump/new/spd_3/{file}"
    rows, notes = understood(normal, new)
    assert rows[normal] == {"machine": "pump", "split": "train"}
    assert rows[new] == {"machine": "pump", "split": "test"}
    assert not notes


def test_clips_beside_new_are_normal_and_it_is_said():
    rows, notes = understood("pump/a.wav", "pump/2024/b.wav", "pump/new/c.wav")
    assert [row["split"] for row in rows.values()] == ["train", "train", "test"]
    assert notes == [("pump", "clips beside the folder of those to be judged are taken as normal")]


def test_clips_outside_train_and_test_are_left_out_and_counted():
    rows, notes = understood("fan/train/a.wav", "fan/test/b.wav", "fan/supplemental/c.wav", "fan/d.wav")
    assert list(rows) == ["fan/test/b.wav", "fan/train/a.wav"]
    assert notes == [("fan", "left out: 2 outside its training and test folders")]


@pytest.mark.parametrize(
    "paths", [("normal/a.wav", "new/b.wav"), ("a.wav", "new/b.wav"), ("source/train/a.wav", "test/b.wav")]
)
def test_a_folder_with_one_machine_names_it(paths):
    rows, _ = understood(*paths, root="compressor")
    assert {row["machine"] for row in rows.values()} == {"compressor"}


@pytest.mark.parametrize("folders", ["source/normal", "normal/source", "train/2024/source", "Source"])
def test_a_domain_is_a_folder_anywhere(folders):
    rows, _ = understood(f"fan/{folders}/a.wav", "fan/new/b.wav")
    assert rows[f"fan/{folders}/a.wav"] == {"machine": "fan", "split": "train", "domain": "source"}
    assert rows["fan/new/b.wav"]["domain"] == ""


def test_folders_of_one_name_with_normal_clips_each_are_machines_of_their_own():
    rows, _ = understood("hall1/fan/normal/a.wav", "hall2/fan/normal/a.wav", "hall2/fan/new/b.wav", "pump/normal/a.wav")
    assert [row["machine"] for row in rows.values()] == ["hall1_fan", "hall2_fan", "hall2_fan", "pump"]


def test_a_machine_whose_test_clips_lie_elsewhere_is_one_and_it_is_said():
    rows, notes = understood("dev/fan/train/a.wav", "eval/fan/test/b.wav")
    assert {row["machine"] for row in rows.values()} == {"fan"}
    assert notes == [("fan", "its clips are in several folders: dev/fan, eval/fan")]


@pytest.mark.parametrize(
    ("folder", "name", "why"),
    [
        ("train", NAME.format("source", "test", "anomaly", 0, "a_1"), "a test anomaly clip does not belong in train/"),
        ("train", NAME.format("target", "train", "anomaly", 0, "a"), "a train anomaly clip does not belong in train/"),
        ("bad", NAME.format("source", "train", "normal", 0, "a_1"), "named normal, but in a folder of anomaly clips"),
        ("normal", "anomaly_id_00_00000000.wav", "named anomaly, but in a folder of normal clips"),
    ],
)
def test_a_name_that_contradicts_its_folder_is_left_out_and_named(folder, name, why):
    rows, notes = understood("fan/train/a.wav", "fan/test/b.wav", f"fan/{folder}/{name}")
    assert list(rows) == ["fan/test/b.wav", "fan/train/a.wav"]
    assert notes == [(f"fan/{folder}/{name}", f"left out: {why}; move it")]


def test_anomalous_clips_are_never_trained_on():
    rows, notes = understood("fan/train/normal/a.wav", "fan/train/abnormal/b.wav", "fan/test/c.wav")
    assert "fan/train/abnormal/b.wav" not in rows
    assert notes == [("fan", "left out: 1 anomalous in train/; put them in test/anomalous/")]


def test_attributes_that_all_differ_are_dropped():
    def train(attributes):
        names = [NAME.format("source", "train", "normal", n, value) for n, value in enumerate(attributes)]
        return understood(*(f"fan/train/{name}" for name in names), "fan/test/b.wav")

    rows, notes = train(["spd_1", "spd_2", "spd_3"])
    assert "attribute" not in next(iter(rows.values()))
    assert notes == [("fan", "as many attributes as training clips: left out, since they tell no classes")]
    rows, notes = train(["spd_1", "spd_2", "spd_2"])
    assert [row["attribute"] for row in rows.values()] == ["", "spd_1", "spd_2", "spd_2"]
    assert not notes


def test_a_machine_that_nothing_is_said_of_costs_no_other():
    rows, notes = understood("pump/a.wav", "fan/normal/a.wav", "fan/new/b.wav")
    assert {row["machine"] for row in rows.values()} == {"fan"}
    assert [place for place, _ in notes] == ["pump"]
    assert "put normal recordings in normal/ and those to be judged in new/" in notes[0][1]


@pytest.mark.parametrize(("paths", "lacks"), [
    (["fan/normal/a.wav"], "has no test clip; put recordings to be judged in new/ or test/"),
    (["fan/new/a.wav"], "has no training clip; put normal recordings in normal/ or train/"),
])  # fmt: skip
def test_a_split_that_is_absent_is_named(paths, lacks):
    assert understood(*paths)[1] == [("fan", lacks)]


def test_the_table_is_sorted_utf8_with_paths_relative_to_itself(tmp_path):
    empty(tmp_path / "data", "pump/new/b.wav", "pump/normal/ä, 1.wav", "fan/normal/a.wav", "fan/new/c.wav")
    out = tmp_path / "tables/mine/clips.csv"
    rows = imported(tmp_path / "data", out)
    paths = [row["path"] for row in rows]
    assert paths == sorted(paths)
    assert paths[0] == "../../data/fan/new/c.wav"
    assert all((out.parent / path).is_file() for path in paths)
    assert out.read_bytes().startswith(b"path,machine,split\n../../data/fan/new/c.wav,fan,test\n")
    assert '"../../data/pump/normal/ä, 1.wav",pump,train\n'.encode() in out.read_bytes()
    assert b"\r" not in out.read_bytes()


def test_paths_hold_where_the_tables_folder_is_a_link(tmp_path):
    empty(tmp_path / "data", "fan/normal/a.wav", "fan/new/c.wav")
    (tmp_path / "far/away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far/away")
    rows = imported(tmp_path / "data", tmp_path / "link/clips.csv")
    assert all((tmp_path / "link" / row["path"]).is_file() for row in rows)


def test_a_table_in_the_folder_itself_has_plain_paths(tmp_path, monkeypatch):
    empty(tmp_path, "normal/a.wav", "new/b.wav")
    monkeypatch.chdir(tmp_path)
    assert main(["import", ".", "--out", "clips.csv"]) == 0
    lines = (tmp_path / "clips.csv").read_text().splitlines()
    assert lines == ["path,machine,split", f"new/b.wav,{tmp_path.name},test", f"normal/a.wav,{tmp_path.name},train"]


def test_what_is_no_audio_is_passed_over_and_counted(tmp_path, capsys):
    empty(tmp_path / "d", "fan/normal/a.wav", "fan/new/b.wave", "fan/new/.c.wav", ".git/d.wav", "fan/new/e.M4A")
    empty(tmp_path / "d", "Thumbs.db", "fan/notes.txt", "fan/new/more.txt", "__MACOSX/f.wav", "fan/README")
    assert len(imported(tmp_path / "d")) == 2
    said = capsys.readouterr().out
    assert "passed over: 2 hidden, 2 .txt, " in said
    assert all(f"1 {kind}" in said for kind in (".db", "__MACOSX", "without ending"))
    assert "left out: .m4a 1, which cannot be read; convert them to flac\n" in said


@pytest.mark.parametrize("ending", sorted(AUDIO - UNREADABLE) + [".FLAC", ".Wav"])
def test_a_recording_of_every_format_counts(tmp_path, ending):
    empty(tmp_path, f"fan/normal/a{ending}")
    assert look(str(tmp_path)).recordings == [("fan/normal", f"a{ending}")]


def test_linked_folders_are_followed_once_and_loops_are_not(tmp_path):
    empty(tmp_path / "elsewhere", "a.wav")
    empty(tmp_path / "d", "fan/new/b.wav")
    empty(tmp_path, "outside.wav")
    (tmp_path / "d/fan/normal").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "d/pump").symlink_to(tmp_path / "elsewhere")
    for name, target in {"loop": ".", "up": "..", "root": "/", "itself": "itself", "gone": "nowhere"}.items():
        (tmp_path / "d/fan/new" / name).symlink_to(target)
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "d")
    assert look(str(tmp_path / "d")).recordings == [("fan/new", "b.wav"), ("fan/normal", "a.wav")]


def test_names_that_cannot_be_written_are_left_out_and_named(tmp_path, capsys):
    empty(tmp_path / "d", "fan/normal/a.wav", "fan/new/b.wav", "fan/new/c\nd.wav", "fan/new/e\x1b[31m.wav")
    for place in (b"d/fan/new/f\xff.wav", b"d/\xfe/g.wav"):
        path = os.path.join(os.fsencode(tmp_path), place)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").close()
    assert len(imported(tmp_path / "d")) == 2
    said = capsys.readouterr().out
    assert "left out, since its name holds control characters or is not UTF-8; rename it (and 3 more)" in said
    assert "\x1b" not in said


def test_what_is_no_regular_file_is_named_and_never_opened(tmp_path, capsys):
    empty(tmp_path / "d", "fan/normal/a.wav", "fan/new/b.wav")
    os.mkfifo(tmp_path / "d/fan/new/c.wav")
    (tmp_path / "d/fan/new/d.wav").symlink_to("nowhere")
    assert len(imported(tmp_path / "d")) == 2
    assert "fan/new/c.wav: left out, since it is no regular file (and 1 more)" in capsys.readouterr().out


def test_the_report_shows_each_machine(tmp_path, capsys):
    train = [
        f"train/{NAME.format(d, 'train', 'normal', n, f'spd_{n % 2}')}" for d in ("source", "target") for n in (0, 1)
    ]
    empty(tmp_path / "d/fan", *train, f"test/{NAME.format('source', 'test', 'normal', 0, 'spd_1')}", "test/x.flac")
    empty(tmp_path / "d", "pump/normal/a.ogg", "pump/new/b.ogg")
    imported(tmp_path / "d")
    lines = [line.split(maxsplit=4) for line in capsys.readouterr().out.splitlines()[2:5]]
    assert lines == [
        ["machine", "train", "test", "labelled", "domains             attributes  formats"],
        ["fan", "4", "2", "1", "source 2, target 2           2  .flac 1, .wav 5"],
        ["pump", "1", "1", "0", "one                          0  .ogg 2"],
    ]


def proposed(said):
    """Return the configuration and the command that are printed."""
    block, _, command = said.partition("\nand type\n")
    return yaml.safe_load(block[block.index("    results:") :]), command.strip()


@pytest.mark.parametrize(("channels", "seconds", "data", "system"), [
    (1, 0.1, {"far": None}, "mono"),
    (2, 0.1, {}, "system5"),
    (2, 31, {"window": 10.0, "hop": 10.0}, "system5"),
    (1, 31, {"far": None, "window": 10.0, "hop": 10.0}, "mono"),
])  # fmt: skip
def test_what_to_type_next_fits_the_recordings(tmp_path, capsys, channels, seconds, data, system):
    recorded(tmp_path / "d", "fan/normal/a.flac", "fan/new/b.wav", channels=channels, seconds=seconds)
    out = tmp_path / "my clips.csv"
    imported(tmp_path / "d", out)
    said = capsys.readouterr().out
    config, command = proposed(said)
    assert config == {"results": "results/mine", "data": {"clips": str(out)} | data}
    target = f"results/mine/{system}/ranking.csv"
    assert command == f".venv/bin/snakemake --cores 8 {target} --configfile mine.yaml"
    assert ("one microphone" in said) == (channels == 1)


def test_one_stereo_recording_makes_it_two_microphones(tmp_path, capsys):
    recorded(tmp_path / "d", "fan/normal/a.flac", rate=44100)
    recorded(tmp_path / "d", "fan/new/b.wav", channels=2, seconds=0.5)
    imported(tmp_path / "d")
    said = capsys.readouterr().out
    assert "of a sample: channels: 1 or 2; 8000 Hz or 44100 Hz; 0.1 to 0.5 s\n" in said
    assert "/system5/" in said


def test_broken_headers_are_named_and_change_nothing(tmp_path, capsys):
    recorded(tmp_path / "d", "fan/normal/a.wav", "fan/new/b.wav")
    empty(tmp_path / "d", "fan/new/c.wav")
    (tmp_path / "d/fan/new/d.flac").write_bytes(b"fLaC of sorts")
    assert len(imported(tmp_path / "d")) == 4
    said = capsys.readouterr().out
    assert "fan/new/c.wav: no sound that can be read; copy it again or remove it (and 1 more)" in said
    assert "one microphone" in said


@pytest.mark.parametrize("count", [1, 19, 20, 21, 39, 1000])
def test_the_sample_is_even_and_bounded(count):
    sample = evenly(numbered("{}", count), SAMPLE)
    assert len(sample) == len(set(sample)) == min(count, SAMPLE)
    assert int(sample[-1]) >= count - count / 20 - 1


def test_a_folder_that_is_none_is_refused(tmp_path, capsys):
    out = tmp_path / "clips.csv"
    assert "nix: no such folder; give the folder" in refused(capsys, tmp_path / "nix", "--out", out)
    empty(tmp_path, "a.wav")
    assert "a.wav: no folder; give the folder" in refused(capsys, tmp_path / "a.wav", "--out", out)
    assert not out.exists()


@pytest.mark.parametrize(("files", "why"), [
    ([], "no recording in it; give a folder of wav, flac, ogg, mp3 or aiff files"),
    (["notes.txt", ".a.wav"], "no recording in it; give a folder of wav"),
    (["normal/a.m4a", "new/b.wma"], "no recording in it but .m4a, .wma files, which cannot be read; convert"),
    (["normal/a\x07.wav"], "no recording that can be read in it (normal/a\\x07.wav: left out, since its name"),
])  # fmt: skip
def test_a_folder_without_audio_is_refused(tmp_path, capsys, files, why):
    (tmp_path / "d").mkdir()
    empty(tmp_path / "d", *files)
    assert why in refused(capsys, tmp_path / "d", "--out", tmp_path / "clips.csv")


@pytest.mark.parametrize("files", [["a.wav", "b.wav"], ["2024-05-01/a.wav", "2024-05-02/b.flac", "c/source/d.wav"]])
def test_a_folder_of_which_nothing_says_what_is_normal_is_refused(tmp_path, capsys, files):
    empty(tmp_path / "d", *files)
    line = refused(capsys, tmp_path / "d", "--out", tmp_path / "clips.csv")
    assert (
        f"{len(files)} recordings, and nothing says which of them are normal; put normal recordings in normal/ " in line
    )
    assert line.endswith("those to be judged in new/, or write a table with a column split")


def test_a_table_that_is_there_is_replaced_only_by_force(tmp_path, capsys):
    empty(tmp_path / "d", "fan/normal/a.wav", "fan/new/b.wav")
    out = tmp_path / "clips.csv"
    out.write_text("mine")
    assert "clips.csv: is there already; choose another name, or replace it with --force" in refused(
        capsys, tmp_path / "d", "--out", out
    )
    assert out.read_text() == "mine"
    assert len(imported(tmp_path / "d", out, "--force")) == 2
    assert "d: is a folder; name a file in it, such as" in refused(capsys, tmp_path / "d", "--out", tmp_path / "d")


@pytest.mark.parametrize("name", ["fan{1}", "f" * 151])
def test_a_machine_that_no_file_can_be_named_after_is_refused(tmp_path, capsys, name):
    empty(tmp_path / "d", f"{name}/normal/a.wav", f"{name}/new/b.wav")
    assert f"{name}: no machine can be named so" in refused(capsys, tmp_path / "d", "--out", tmp_path / "clips.csv")


def test_a_folder_that_may_not_be_listed_is_named(tmp_path, capsys, monkeypatch):
    empty(tmp_path / "d", "fan/normal/a.wav", "fan/new/b.wav", "pump/c.wav")
    listed = os.scandir

    def guarded(place):
        if place.endswith("pump"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return listed(place)

    monkeypatch.setattr(os, "scandir", guarded)
    assert len(imported(tmp_path / "d")) == 2
    assert "pump: left out, since it cannot be listed (permission denied)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("folders", "doubtful"),
    [
        (["train/fan", "train/pump", "test/fan", "test/pump/normal"], True),
        (["normal/fan", "normal/pump", "new/fan", "new/pump"], True),
        (["normal/2024-05-01", "normal/2024-05-02", "new/2024-05-03"], False),
        (["train/normal", "test/normal", "test/abnormal"], False),
    ],
)
def test_what_may_be_several_machines_is_said(folders, doubtful):
    _, notes = understood(*(f"{folder}/a.wav" for folder in folders))
    assert [note.startswith("one machine, though fan, pump are among both") for _, note in notes] == [True] * doubtful


def test_twice_the_same_bytes(tmp_path):
    empty(tmp_path / "d", *numbered("fan/normal/{}.wav", 30), *numbered("fan/bad/{}.wav", 7))
    imported(tmp_path / "d", tmp_path / "one.csv")
    imported(tmp_path / "d", tmp_path / "two.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
