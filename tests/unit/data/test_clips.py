import shutil

import numpy as np
import pytest
from conftest import write_machine

from nearfar.data import dataset
from nearfar.data.clips import clip_table, read_clips, write_clips
from nearfar.errors import NearfarError


@pytest.fixture
def machine(tmp_path):
    write_machine(tmp_path, "car", attribute="spd_1_mic_2_mic_1")
    return tmp_path / "car"


def test_table_of_a_machine(machine, tmp_path):
    write_clips("car", machine, tmp_path / "clips.parquet")
    clips = read_clips(tmp_path / "clips.parquet")
    assert list(clips["file"]) == sorted(clips["file"])
    assert np.sum(clips["split"] == "train") == 12 and np.sum(clips["split"] == "test") == 8
    assert set(clips["rate"]) == {16000} and set(clips["frames"]) == {8000} and set(clips["duration"]) == {0.5}
    pairs = [(pair["key"], pair["value"]) for pair in clips["attributes"][0]]
    assert pairs == [("spd", "1"), ("mic", "2"), ("mic", "1")]
    assert len(read_clips(tmp_path / "clips.parquet", "test")["file"]) == 8


def test_unlabelled_test_clips_have_no_domain_and_label(machine):
    for number, path in enumerate(sorted((machine / "test").iterdir())):
        path.rename(machine / "test" / f"section_00_{number:04d}.wav")
    table = clip_table("car", machine).to_pydict()
    unlabelled = [d for d, s in zip(table["domain"], table["split"], strict=True) if s == "test"]
    assert unlabelled == [None] * 8


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


def test_fingerprint_follows_content_not_time(machine):
    def now():
        dataset.fingerprint.cache_clear()
        return dataset.fingerprint(machine)

    before = now()
    clip = next((machine / "train").iterdir())
    clip.touch()
    assert now() == before
    data = bytearray(clip.read_bytes())
    data[len(data) // 2] ^= 1
    clip.write_bytes(data)
    assert now() != before
