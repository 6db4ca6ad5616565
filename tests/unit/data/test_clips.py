import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import noise, write_clips, write_machine

from nearfar.challenge.verify import summary
from nearfar.data import dataset
from nearfar.data.clips import clip_table, read_clips, refuse_longer
from nearfar.errors import NearfarError


@pytest.fixture
def machine(tmp_path):
    write_machine(tmp_path, "car", attribute="spd_1_mic_2_mic_1")
    return tmp_path / "car"


def test_table_of_a_machine(machine, tmp_path):
    paths = write_clips("car", machine, tmp_path)
    clips = read_clips(paths)
    assert list(clips["file"]) == sorted(clips["file"])
    assert np.sum(clips["split"] == "train") == 12 and np.sum(clips["split"] == "test") == 8
    assert set(clips["frames"]) == {8000} and set(clips["attribute"]) == {"spd_1_mic_2_mic_1"}
    assert len(set(clips["content"])) == 20
    for path, split, count in zip(paths, ("train", "test"), (12, 8), strict=True):
        assert list(read_clips(path)["split"]) == [split] * count


def test_unlabelled_test_clips_have_no_domain_and_label(machine):
    for number, path in enumerate(sorted((machine / "test").iterdir())):
        path.rename(machine / "test" / f"section_00_{number:04d}.wav")
    table = clip_table("car", machine, "test").to_pydict()
    assert table["domain"] == table["label"] == [None] * 8


def test_machines_are_found_in_every_layout(machine, tmp_path):
    for place in ("a", "b/raw", "c/dev_data/raw", "c/eval_data/raw"):
        shutil.copytree(machine, tmp_path / place / f"car{len(place)}")
    assert list(dataset.folders(tmp_path / "a")) == ["car1"]
    assert list(dataset.folders(tmp_path / "b")) == ["car5"]
    assert sorted(dataset.folders(tmp_path / "c")) == ["car14", "car15"]
    shutil.copytree(machine, tmp_path / "c/eval_data/raw/car14")
    dataset.folders.cache_clear()
    with pytest.raises(NearfarError, match="car14: machine found again"):
        dataset.folders(tmp_path / "c")


@pytest.mark.parametrize(
    "stray",
    ["notes.txt", "Thumbs.db", "desktop.ini", ".DS_Store", "._a.wav", "a.wav.part", "a.wav~", "__MACOSX/", "x.part/"],
)
def test_what_is_no_audio_is_left_out(machine, stray):
    wanted = [dataset.wav_files(machine, split) for split in dataset.SPLITS]
    for place in (machine, machine / "train", machine / "test"):
        (place / stray).mkdir() if stray.endswith("/") else (place / stray).write_text("no sound")
    assert [dataset.wav_files(machine, split) for split in dataset.SPLITS] == wanted
    assert [clip_table("car", machine, split).num_rows for split in dataset.SPLITS] == [12, 8]


@pytest.mark.parametrize("name", ["monday.wav", "section_00_source_train_normal_0000_a_1.WAV", "a.flac", "section_00"])
def test_what_may_be_a_clip_is_not_left_out(machine, name):
    (machine / "train" / name).write_text("sound")
    with pytest.raises(NearfarError, match=f"train/{name}: not a name of the challenge; rename it"):
        clip_table("car", machine, "train")


@pytest.mark.parametrize(
    ("name", "shown"), [(b"_\xff.wav", r"_\\udcff"), (b"_\x1b[2J.wav", r"_\\x1b"), (b"_\r.wav", r"_\\r")]
)
def test_a_clip_whose_name_cannot_be_printed_is_refused(machine, name, shown):
    path = next((machine / "train").iterdir())
    path.rename(path.with_name(path.stem + os.fsdecode(name)))
    with pytest.raises(NearfarError, match=f"{shown}.*: its name holds control characters or is not UTF-8; rename it"):
        clip_table("car", machine, "train")


def test_folders_that_are_no_machines_are_passed_over(machine, tmp_path):
    for name in ("__MACOSX", "lost+found", ".git", "pump.part", "notes"):
        shutil.copytree(machine, tmp_path / "data" / name)
    shutil.rmtree(tmp_path / "data/notes/train"), shutil.rmtree(tmp_path / "data/notes/test")
    with pytest.raises(NearfarError, match="no machine folder"):
        dataset.folders(tmp_path / "data")
    shutil.copytree(machine, tmp_path / "data/car")
    (tmp_path / "data/readme.txt").write_text("no machine")
    assert list(dataset.folders(tmp_path / "data")) == ["car"]


@pytest.mark.parametrize("length", [151, 245])
def test_a_machine_with_too_long_a_name_is_refused(machine, tmp_path, length):
    shutil.copytree(machine, tmp_path / "data" / ("é" * 75))
    assert len(dataset.folders(tmp_path / "data")) == 1
    dataset.folders.cache_clear()
    shutil.copytree(machine, tmp_path / "data" / ("m" * length))
    with pytest.raises(NearfarError, match=f"m: a machine's name of {length} bytes, the most is 150; rename"):
        dataset.folders(tmp_path / "data")


@pytest.mark.parametrize(
    ("name", "shown"), [(b"caf\xe9", r"caf\udce9"), (b"be\x07ll", r"be\x07ll"), (b"a\nb", r"a\nb")]
)
def test_a_machine_whose_name_cannot_be_printed_fails_by_itself(machine, tmp_path, name, shown):
    folder = tmp_path / "data" / os.fsdecode(name)
    shutil.copytree(machine, folder)
    assert dataset.folders(tmp_path / "data") == {shown: folder}
    with pytest.raises(
        NearfarError, match="its name holds control characters or is not UTF-8; rename the folder"
    ) as error:
        clip_table(shown, folder, "train")
    assert str(error.value).isprintable() and shown in str(error.value)


@pytest.fixture
def closed(monkeypatch):
    """A function after which what lies at and below a path may not be looked into, even by root."""
    places = []

    def guarded(function):
        def guard(path, *arguments, **named):
            if any(Path(os.fsdecode(path)).is_relative_to(place) for place in places):
                raise PermissionError(13, "Permission denied", os.fspath(path))
            return function(path, *arguments, **named)

        return guard

    for name in ("listdir", "stat"):
        monkeypatch.setattr(f"nearfar.data.dataset.os.{name}", guarded(getattr(os, name)))
    yield places.append
    monkeypatch.undo()


@pytest.mark.parametrize("split", ["", "train", "test"])
def test_an_unreadable_folder_costs_its_machine(machine, tmp_path, closed, split):
    write_machine(tmp_path, "pump")
    closed(machine / split)
    assert list(dataset.folders(tmp_path)) == ["car", "pump"]
    assert dataset.labelled(machine) is (split == "train")
    with pytest.raises(NearfarError, match=rf"{machine / split}: no permission to list it; give it with chmod u\+rx"):
        clip_table("car", machine, "train")
    assert clip_table("pump", tmp_path / "pump", "train").num_rows == 12
    text, faults = summary({m: tmp_path / m for m in ("car", "pump")}, {})
    assert "car" in faults[0] and "no permission" in faults[0] and not any("pump" in fault for fault in faults)
    assert "| pump | 8 | 4 | 8 |" in " ".join(text.split())


def test_an_unreadable_root_is_one_line(machine, tmp_path, closed):
    closed(tmp_path)
    with pytest.raises(NearfarError, match=f"{tmp_path}: cannot be listed .Permission denied.; give access to it"):
        dataset.folders(tmp_path)


@pytest.mark.parametrize("lasts", [25, 100])
def test_one_far_longer_clip_is_refused(machine, tmp_path, lasts):
    path = next((machine / "test").iterdir())
    soundfile.write(path, noise(("long",), lasts), 16000)
    with pytest.raises(
        NearfarError, match=rf"{path.name}: lasts {lasts} s where 20 s is the most, .* of 0.5 s; cut it"
    ):
        write_clips("car", machine, tmp_path)
    _, faults = summary({"car": machine}, {})
    assert len(faults) == 1 and f"{path.name}: lasts {lasts} s where 20 s is the most" in faults[0]


@pytest.mark.parametrize(
    ("seconds", "usual", "refused"),
    [
        ([6, 10, 16], 10, None),
        ([10, 10, 99], 10, None),
        ([10, 10, 101], 10, 101),
        ([600, 600], 600, None),
        ([101, 101, 101], 10, 101),
        ([], 0, None),
    ],
)
def test_the_longest_clip_there_may_be(seconds, usual, refused):
    clips = {Path(f"{number}.wav"): float(lasts) for number, lasts in enumerate(seconds)}
    if refused:
        with pytest.raises(NearfarError, match=r"\.wav: lasts 101 s where 100 s is the most"):
            refuse_longer(clips, usual)
    else:
        refuse_longer(clips, usual)


def swap(path):
    soundfile.write(path, soundfile.read(path)[0][:, ::-1], 16000)


def overdrive(path):
    soundfile.write(path, 30000 * soundfile.read(path)[0], 16000, subtype="FLOAT")


@pytest.mark.parametrize(("change", "doubt"), [(swap, "look swapped"), (overdrive, "far beyond [-1, 1]")])
def test_what_may_be_right_is_warned_of_once(machine, capsys, change, doubt):
    """On stderr by the clip table, in the text of verify, in the same words; and neither fails."""
    clip_table("car", machine, "train")
    assert capsys.readouterr().err == ""
    for path in sorted((machine / "train").iterdir())[2:5]:
        change(path)
    assert clip_table("car", machine, "train").num_rows == 12
    said = capsys.readouterr().err
    first = sorted((machine / "train").iterdir())[2]
    assert said.startswith(f"nearfar: warning: {first}: ") and said.endswith("(and 2 more)\n") and doubt in said
    text, faults = summary({"car": machine}, {})
    assert faults == [] and said.removeprefix("nearfar: ") in text.replace("- warning", "warning")


def equal(path):
    soundfile.write(path, soundfile.read(path)[0][:, [0, 0]], 16000)


def eight(path):
    soundfile.write(path, np.tile(soundfile.read(path)[0], 4), 16000)


def stale(path):
    content = path.read_bytes()
    path.write_bytes(content[:40] + bytes(4) + content[44:])


def cut(path):
    path.write_bytes(path.read_bytes()[:9000])


def silent(path):
    soundfile.write(path, soundfile.read(path)[0] * [1, 0], 16000)


def short(path):
    soundfile.write(path, soundfile.read(path)[0][:1], 16000)


@pytest.mark.parametrize("change", [equal, eight, stale, cut, silent, short], ids=lambda change: change.__name__)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_run_and_verify_refuse_in_the_same_words(machine, tmp_path, split, change):
    change(sorted((machine / split).iterdir())[3])
    with pytest.raises(NearfarError) as error:
        write_clips("car", machine, tmp_path)
    _, faults = summary({"car": machine}, {})
    assert faults == [str(error.value)]


def test_fingerprint_follows_content_not_time(machine):
    def now(split="train"):
        dataset.fingerprint.cache_clear()
        return dataset.fingerprint(machine, split)

    before, of_test = now(), now("test")
    clip = next((machine / "train").iterdir())
    clip.touch()
    assert now() == before
    data = bytearray(clip.read_bytes())
    data[len(data) // 2] ^= 1
    clip.write_bytes(data)
    assert now() != before and now("test") == of_test
