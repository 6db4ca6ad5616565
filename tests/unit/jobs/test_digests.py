"""The content of files counts, not their times; and what did not change is not read again."""

import json
import os
import shutil
import time

import pytest

from nearfar.jobs import digests
from nearfar.jobs.digests import UNREADABLE, digest_of


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(digests, "RACY", 0)
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode() * 100_000)
    return [tmp_path / "a", tmp_path / "b"]


@pytest.fixture
def read(monkeypatch):
    """The names of the files that are read from now on."""
    names, whole = [], digests.digest
    monkeypatch.setattr(digests, "digest", lambda path: names.append(path.name) or whole(path))
    return names


def changed_at(place):
    def change(path):
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)

    return change


def older(path):
    other = path.with_name("other")
    other.write_bytes(b"older")
    os.utime(other, (1, 1))
    shutil.move(other, path)


@pytest.mark.parametrize("change", [changed_at(0), changed_at(50_000), changed_at(-1), older])
def test_any_change_of_the_content_changes_the_digest(files, change):
    before = digest_of(files)
    change(files[0])
    assert digest_of(files) != before


def test_the_same_content_under_another_time_does_not(files):
    before = digest_of(files)
    os.utime(files[0], (1, 1))
    content = files[1].read_bytes()
    files[1].unlink()
    files[1].write_bytes(content)
    assert digest_of(files) == before


def test_the_same_size_and_time_do_not_hide_a_change(files):
    before, times = digest_of(files), os.stat(files[0])
    changed_at(7)(files[0])
    os.utime(files[0], ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digest_of(files) != before


def test_what_did_not_change_is_not_read_again(files, read):
    first = digest_of(files)
    time.sleep(0.01)
    digest_of(files)
    read.clear()
    assert digest_of(files) == first and read == []
    os.utime(files[1])
    assert digest_of(files) == first and read == ["b"]


def test_a_file_that_is_still_being_written_is_read_again(files, read, monkeypatch):
    monkeypatch.setattr(digests, "RACY", 10**12)
    digest_of(files)
    read.clear()
    digest_of(files)
    assert read == ["a", "b"]


def test_a_name_counts_too(files, tmp_path):
    before = digest_of(files)
    files[0].rename(tmp_path / "c")
    assert digest_of([tmp_path / "c", files[1]]) != before


def test_what_cannot_be_read_is_said_to_be_so(files, tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    assert digests.digests([files[0], tmp_path / "link", tmp_path])[1:] == [UNREADABLE] * 2


@pytest.mark.parametrize("damage", ["", "[]x", json.dumps({"1 2 3 4 5": "0"})])
def test_damaged_notes_are_made_again(files, damage):
    first = digest_of(files)
    (note,) = digests.NOTES.glob("*.json")
    note.write_text(damage)
    assert digest_of(files) == first and len(json.loads(note.read_text())) == 2


def test_where_no_notes_can_be_kept_the_digest_is_the_same(files, monkeypatch, tmp_path):
    first = digest_of(files)
    (tmp_path / "no folder").write_text("")
    monkeypatch.setattr(digests, "NOTES", tmp_path / "no folder/notes")
    assert digest_of(files) == first
