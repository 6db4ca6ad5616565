"""The table of clips that people write."""

import pytest

from nearfar.data.tables import entries_fingerprint, folder_entries, of_split, read_entries
from nearfar.errors import NearfarError


def table(folder, text, name="clips.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder, text):
    with pytest.raises(NearfarError) as error:
        read_entries(table(folder, text))
    line = str(error.value)
    assert "\n" not in line and line.startswith(f"{folder}/clips.csv: ")
    return line.removeprefix(f"{folder}/clips.csv: ")


def test_path_and_split_suffice_and_the_rest_has_a_sensible_meaning(tmp_path):
    found = read_entries(table(tmp_path, "path,split\npump3/a.flac,train\npump3/b.flac,test\n"))
    train, test = found["pump3"]
    assert (train.recording, train.path) == ("pump3/a.flac", str(tmp_path / "pump3/a.flac"))
    assert (train.domain, train.label, train.attribute, train.section) == ("source", "normal", "noAttribute", "00")
    assert (test.split, test.domain, test.label) == ("test", None, None)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("comma", [",", ";", "\t"])
def test_what_spreadsheets_write_is_read_alike(tmp_path, ending, mark, comma):
    rows = [["Path", "machine", "split", "label"], ["a b.wav", "p", "train", ""], ["c.wav", "p", "test", "anomaly"]]
    text = mark + ending.join(comma.join(row) for row in rows) + ending + ending
    entries = read_entries(table(tmp_path, text))["p"]
    assert [(entry.recording, entry.label) for entry in entries] == [("a b.wav", "normal"), ("c.wav", "anomaly")]


def test_a_quoted_path_may_hold_the_comma(tmp_path):
    assert read_entries(table(tmp_path, 'path,split,machine\n"a, b.wav",train,p\n'))["p"][0].recording == "a, b.wav"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column path"),
        ("path,split\n", "holds no recording"),
        ("path\na.wav\n", "line 1: no column split; give every row train"),
        ("split\ntrain\n", "line 1: no column path"),
        ("path,split,speed\na.wav,train,3\n", "line 1: unknown column 'speed'; name columns path, machine"),
        ("path,split,split\na.wav,train,test\n", "line 1: a column stands there twice"),
        ("path,split\na.wav,\n", "line 2: no split; give every row train"),
        ("path,split\na.wav,new\n", "line 2: split 'new' is none of train, test"),
        ("path,split,label\na.wav,test,broken\n", "line 2: label 'broken' is none of normal, anomaly"),
        ("path,split,label\na.wav,train,anomaly\n", "line 2: an anomaly to learn from"),
        ("path,split,domain\na.wav,train,winter\n", "line 2: domain 'winter' is none of source, target"),
        ("path,split,machine\na.wav,train,a/b\n", "line 2: machine 'a/b' holds braces, a slash"),
        ("path,split\na.wav,train,extra\n", "line 2: no row of the table"),
        ('path,split\n"a.wav,train\n', "no row of the table"),
        (b"path,split\n\xff.wav,train\n", "is not UTF-8 (byte 11)"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_line(tmp_path, text, said):
    assert said in refused(tmp_path, text)


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    rows = "".join(f"{number}.wav,late\n" for number in range(9))
    line = refused(tmp_path, f"path,split\n{rows}")
    assert line.count("is none of") == 5 and line.endswith("(and 4 more)")


def test_a_recording_stands_in_a_table_once_whatever_its_path_looks_like(tmp_path):
    assert "a.wav stands there 2 times" in refused(tmp_path, "path,split\na.wav,train\nx/../a.wav,test\n")


def test_an_attribute_a_recording_tells_no_classes(tmp_path):
    rows = "".join(f"{number}.wav,train,pump,at_{number}\n" for number in range(4))
    assert "pump: as many attributes as training recordings" in refused(
        tmp_path, f"path,split,machine,attribute\n{rows}"
    )


def test_a_missing_table_is_one_line(tmp_path):
    with pytest.raises(NearfarError, match=r"none\.csv: cannot be read \(no such file"):
        read_entries(tmp_path / "none.csv")


def test_the_fingerprint_of_a_split_follows_its_recordings_alone(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.wav").write_text(name)
    text = "path,split,machine\na.wav,train,p\nb.wav,test,p\n"
    before = read_entries(table(tmp_path, text))["p"]
    after = read_entries(table(tmp_path, text + "c.wav,test,p\n", "more.csv"))["p"]
    train, test = (entries_fingerprint(before, split) for split in ("train", "test"))
    assert entries_fingerprint(after, "train") == train and entries_fingerprint(after, "test") != test
    (tmp_path / "a.wav").write_text("other")
    assert entries_fingerprint(before, "train") != train and entries_fingerprint(before, "test") == test


def test_a_folder_is_read_as_the_import_understands_it(tmp_path):
    for name in ("pump/normal/2024-05-01.flac", "pump/normal/deep/x.flac", "pump/new/y.flac"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = folder_entries(str(tmp_path))["pump"]
    assert [entry.recording for entry in of_split(found, "train")] == [
        "pump/normal/2024-05-01.flac",
        "pump/normal/deep/x.flac",
    ]
    assert [entry.path for entry in of_split(found, "test")] == [str(tmp_path / "pump/new/y.flac")]


def test_a_folder_that_tells_no_split_is_one_line(tmp_path):
    (tmp_path / "a.wav").touch()
    with pytest.raises(NearfarError, match="no recordings in normal/ and new/"):
        folder_entries(str(tmp_path))
