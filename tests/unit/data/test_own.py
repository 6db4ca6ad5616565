"""Clip tables of people's own recordings."""

import json

import numpy as np
import pytest
import soundfile
from conftest import noise

from nearfar.data.own import Cut, own_table
from nearfar.data.places import frames_of, read_place
from nearfar.data.tables import Entry
from nearfar.errors import NearfarError

WHOLE = Cut(0, 1, None, None)
WINDOWS = Cut(0, 1, 1.0, None)


def entries(folder, count=10, split="train", seconds=1.0, rate=16000):
    """Recordings of noise, two channels."""
    found = []
    for number in range(count):
        path = folder / f"{split}{number}.wav"
        soundfile.write(path, noise((split, number), seconds * rate / 16000), rate)
        found.append(Entry(path.name, str(path), "pump", split, "source", "normal"))
    return found


def columns(table):
    return table.to_pydict()


def skipped(table):
    return {name: (reason, path) for name, reason, path in json.loads(table.schema.metadata[b"skipped"])}


def test_whole_recordings_are_clips_under_their_own_names(tmp_path):
    table = own_table("pump", entries(tmp_path, rate=48000), "train", WHOLE, skip=True)
    found = columns(table)
    assert found["file"] == found["recording"] == sorted(f"train{number}.wav" for number in range(10))
    assert set(found["frames"]) == {16000} and set(found["start"]) == {0.0} and skipped(table) == {}
    assert read_place(found["place"][0]).shape == (16000, 2) and frames_of(found["place"][0]) == 16000


def test_long_recordings_are_cut_into_windows_that_are_read_by_themselves(tmp_path):
    (one,) = entries(tmp_path, count=1, seconds=12.0)
    found = columns(own_table("pump", [one], "train", WINDOWS, skip=True))
    assert found["start"] == [float(start) for start in range(12)]
    assert found["file"][3] == "train0.wav@000003.000" and set(found["recording"]) == {"train0.wav"}
    whole, _ = soundfile.read(one.path, dtype="float32")
    assert np.array_equal(read_place(found["place"][3]), whole[48000:64000])
    assert len(set(found["content"])) == 12


def test_one_microphone_is_read_as_one_channel_and_no_other(tmp_path):
    found = columns(own_table("pump", entries(tmp_path), "train", Cut(1, None, None, None), skip=True))
    whole, _ = soundfile.read(found["path"][0], dtype="float32")
    assert np.array_equal(read_place(found["place"][0], 1), whole[:, 1:])
    with pytest.raises(NearfarError, match="one microphone, and a far one is needed"):
        read_place(found["place"][0])


def break_recordings(chosen):
    """A zero-length, a silent and an absent recording, and one that is text."""
    open(chosen[0].path, "w").close()
    soundfile.write(chosen[1].path, np.zeros((16000, 2)), 16000)
    chosen[2] = chosen[2]._replace(path=chosen[2].path + ".none")
    with open(chosen[3].path, "w") as file:
        file.write("no sound")


REASONS = {
    "train0.wav": "is empty (0 bytes)",
    "train1.wav": "channel 0 is silent",
    "train2.wav": "no such file",
    "train3.wav": "cannot be decoded",
}


def test_what_cannot_be_used_is_left_out_with_its_reason(tmp_path, capsys):
    chosen = entries(tmp_path, count=14)
    break_recordings(chosen)
    table = own_table("pump", chosen, "train", WHOLE, skip=True)
    assert table.num_rows == 10
    said = skipped(table)
    assert said.keys() == REASONS.keys() and all(said[name][0].startswith(reason) for name, reason in REASONS.items())
    assert {name: path for name, (_, path) in said.items()} == {entry.recording: entry.path for entry in chosen[:4]}
    assert "train0.wav: left out: is empty" in capsys.readouterr().err


def test_or_refused_all_at_once(tmp_path):
    chosen = entries(tmp_path, count=14)
    break_recordings(chosen)
    with pytest.raises(NearfarError) as error:
        own_table("pump", chosen, "train", WHOLE, skip=False)
    assert all(f"{name}: {reason}" in str(error.value) for name, reason in REASONS.items())


def test_a_silent_window_costs_that_window_alone(tmp_path):
    chosen = entries(tmp_path, count=1, seconds=12.0)
    wave, _ = soundfile.read(chosen[0].path)
    wave[32000:48000] = 0
    soundfile.write(chosen[0].path, wave, 16000)
    table = own_table("pump", chosen, "train", WINDOWS, skip=True)
    assert table.num_rows == 11
    assert {name: path for name, (_, path) in skipped(table).items()} == {"train0.wav@000002.000": None}


@pytest.mark.parametrize(
    ("split", "count", "said"),
    [
        ("train", 9, "pump: 9 training clips, at least 10 are needed"),
        ("test", 0, "pump: 0 clips to be judged, at least 1"),
    ],
)
def test_too_few_clips_are_refused_whatever_is_left_out(tmp_path, split, count, said):
    with pytest.raises(NearfarError, match=said):
        own_table("pump", entries(tmp_path, count, split), split, WHOLE, skip=True)


def test_what_was_left_out_is_named_where_too_few_are_left(tmp_path):
    chosen = entries(tmp_path, count=10)
    open(chosen[4].path, "w").close()
    with pytest.raises(NearfarError, match=r"9 training clips.*left out: train4.wav: is empty"):
        own_table("pump", chosen, "train", WHOLE, skip=True)


def test_a_long_recording_without_windows_is_told_the_key(tmp_path):
    chosen = [*entries(tmp_path), *entries(tmp_path, count=1, split="long", seconds=30.0)]
    assert "data: {window: 10.0}" in skipped(own_table("pump", chosen, "train", WHOLE, skip=True))["long0.wav"][0]


def test_a_recording_shorter_than_a_window_is_left_out(tmp_path):
    chosen = [*entries(tmp_path, seconds=1.0), *entries(tmp_path, count=1, split="short", seconds=0.5)]
    assert skipped(own_table("pump", chosen, "train", WINDOWS, skip=True)).keys() == {"short0.wav"}


def test_mixed_rates_are_said(tmp_path, capsys):
    chosen = [*entries(tmp_path), *entries(tmp_path, count=1, split="other", rate=48000)]
    own_table("pump", chosen, "train", WHOLE, skip=True)
    assert "pump: recorded with 16000 and 48000 Hz: what only some hold" in capsys.readouterr().err


def test_mixed_numbers_of_channels_are_said(tmp_path, capsys):
    chosen = entries(tmp_path, count=11)
    wave, _ = soundfile.read(chosen[3].path)
    soundfile.write(chosen[3].path, wave[:, 0], 16000)
    table = own_table("pump", chosen, "train", Cut(0, None, None, None), skip=True)
    assert table.num_rows == 11 and "pump: recorded with 1 and 2 channels: what" in capsys.readouterr().err
    table = own_table("pump", chosen, "train", WHOLE, skip=True)
    assert skipped(table)["train3.wav"][0].startswith("has 1 channel, and far is channel 1")


def test_the_content_changes_with_the_file_and_with_what_is_read_of_it(tmp_path):
    chosen = entries(tmp_path)
    before = columns(own_table("pump", chosen, "train", WHOLE, skip=True))["content"]
    swapped = columns(own_table("pump", chosen, "train", Cut(1, 0, None, None), skip=True))["content"]
    soundfile.write(chosen[0].path, noise(("another",), 1.0), 16000)
    after = columns(own_table("pump", chosen, "train", WHOLE, skip=True))["content"]
    assert (
        not set(before) & set(swapped) and [a == b for a, b in zip(after, before, strict=True)] == [False] + [True] * 9
    )
