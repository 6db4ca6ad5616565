import csv
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from conftest import ROOT
from exported import clips_beside, learned

import nearfar
from nearfar.errors import NearfarError
from nearfar.export import watch as watches
from nearfar.export.clips import Row
from nearfar.export.drift import BLOCK, RATE, drift, warning
from nearfar.export.journal import Journal
from nearfar.export.watch import Watcher


@pytest.fixture(scope="module")
def pump(tmp_path_factory):
    return learned(tmp_path_factory.mktemp("watch"))


@pytest.fixture(scope="module")
def model(pump):
    return nearfar.load(pump)


@pytest.fixture
def inbox(tmp_path):
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def watcher(model, inbox, tmp_path):
    watcher = Watcher(inbox, model, Journal(tmp_path / "out.csv", "m1"), "alpha")
    yield watcher
    watcher.close()
    watcher.journal.close()


def rows_in(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def looks(watcher, count=2):
    return [row.clip for _ in range(count) for rows in watcher.look() for row in rows]


def again(watcher):
    """The same watcher after a restart."""
    watcher.close(), watcher.journal.close()
    known = watcher.journal
    return Watcher(watcher.folder, watcher.model, Journal(known.path, known.model), watcher.machine)


def put(pump, inbox, count=3, machine="alpha"):
    clips = clips_beside(pump, machine)[:count]
    for number, clip in enumerate(clips):
        shutil.copy(clip, inbox)
        os.utime(inbox / clip.name, (1e9 + number, 1e9 + number))
    return [clip.name for clip in clips]


def test_what_is_there_at_two_looks_has_arrived_and_is_scored_once(watcher, pump, inbox):
    names = put(pump, inbox)
    assert not looks(watcher, 1)
    assert looks(watcher, 1) == names and not looks(watcher, 3)
    assert [row["clip"] for row in rows_in(watcher.journal.path)] == names


def test_a_file_that_grows_waits_until_it_has_stopped(watcher, pump, inbox):
    clip = clips_beside(pump)[0]
    content = clip.read_bytes()
    for size in (2000, 4000, 6000):
        (inbox / "a.wav").write_bytes(content[:size])
        assert not looks(watcher, 1)
    assert not looks(watcher, 3), "a wav that is cut may still be written"
    (inbox / "a.wav").write_bytes(content)
    assert looks(watcher, 2) == ["a.wav"]
    assert rows_in(watcher.journal.path)[0]["note"] == ""


def test_a_file_that_stays_cut_is_told_in_the_end(watcher, pump, inbox, monkeypatch):
    (inbox / "a.wav").write_bytes(clips_beside(pump)[0].read_bytes()[:3000])
    monkeypatch.setattr(watches, "PATIENCE", 0)
    assert looks(watcher, 2) == ["a.wav"]
    [row] = rows_in(watcher.journal.path)
    assert row["decision"] == "not scored" and row["note"] and not row["score"]


def test_a_restart_scores_what_came_meanwhile_and_nothing_twice(watcher, pump, inbox):
    names = put(pump, inbox, 2)
    looks(watcher)
    more = put(pump, inbox, 4)
    restarted = again(watcher)
    assert looks(restarted) == more[2:] and more[:2] == names
    watcher.lock, watcher.journal = restarted.lock, restarted.journal


def test_a_file_that_is_replaced_is_another(watcher, pump, inbox):
    [name] = put(pump, inbox, 1)
    looks(watcher)
    shutil.copy(clips_beside(pump)[1], inbox / name)
    os.utime(inbox / name, (2e9, 2e9))
    assert looks(watcher) == [name] and not looks(watcher)


def test_hidden_files_other_files_and_folders_are_passed_over(watcher, pump, inbox):
    clip = clips_beside(pump)[0]
    (inbox / ".hidden").mkdir()
    for name in (".a.wav", "a.wav.part", "notes.txt", ".hidden/a.wav"):
        shutil.copy(clip, inbox / name)
    assert not looks(watcher)
    (inbox / "deep").mkdir()
    shutil.copy(clip, inbox / "deep")
    assert looks(watcher) == [f"deep/{clip.name}"]


def test_a_folder_that_is_taken_away_ends_it_in_one_line(watcher, pump, inbox):
    names = put(pump, inbox, 2)
    assert looks(watcher) == names
    shutil.rmtree(inbox)
    with pytest.raises(NearfarError, match=f"{inbox}: is gone; put it back and watch it again"):
        looks(watcher)


@pytest.mark.parametrize("place", ["/dev/full", "folder", "pipe"])
def test_results_go_to_no_device_folder_or_pipe(tmp_path, place):
    (tmp_path / "folder").mkdir(), os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NearfarError, match="is there, and no file; give --out the name of a csv"):
        Journal(tmp_path / place, "m1")


def test_two_watchers_on_one_folder_are_refused(watcher, model, inbox, tmp_path):
    with pytest.raises(NearfarError, match=f"{inbox}: another nearfar watches it; stop that one"):
        Watcher(inbox, model, Journal(tmp_path / "other.csv", "m1"))


def test_two_writers_of_one_csv_are_refused(watcher):
    with pytest.raises(NearfarError, match="out.csv: another nearfar writes it"):
        Journal(watcher.journal.path, "m1")


def test_no_folder_is_refused(model, tmp_path):
    with pytest.raises(NearfarError, match="no such folder"):
        Watcher(tmp_path / "none", model, Journal(tmp_path / "out.csv", "m1"))


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "hello", "\n"])
def test_a_csv_of_something_else_is_refused_and_left_as_it_is(tmp_path, content):
    (tmp_path / "out.csv").write_text(content)
    with pytest.raises(NearfarError, match="no csv of nearfar score --out; give another file"):
        Journal(tmp_path / "out.csv", "m1")
    assert (tmp_path / "out.csv").read_text() == content


@pytest.mark.slow
def test_a_kill_at_any_byte_leaves_whole_recordings(tmp_path):
    path = tmp_path / "out.csv"
    journal = Journal(path, "m1")
    journal.append([Row("a.wav", None, "alpha", None, 'said "no"')], ("a.wav", "1", "t"))
    ends = {0: set(), path.stat().st_size: {"a.wav"}}
    journal.append([Row(f"b.wav@{t}", t, "alpha", None, "") for t in (0.0, 1.0)], ("b.wav", "2", "t"))
    journal.close()
    content = path.read_bytes()
    ends[len(content)] = {"a.wav", "b.wav"}
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        opened = Journal(path, "m1")
        opened.close()
        assert {name for name, *_ in opened.known} == ends[max(end for end in ends if end <= size)]
        assert content.startswith(path.read_bytes())


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(pump, inbox, tmp_path):
    put(pump, inbox, 1)
    ignored = {"preexec_fn": lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN)}
    process, out = subprocess.Popen(command(pump, inbox, tmp_path), **STREAMS, **ignored), tmp_path / "out.csv"
    end = time.monotonic() + 100
    while not (out.exists() and rows_in(out)) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    limit = out.stat().st_size + 400  # a row or two more; the model has been read by then
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    for clip in clips_beside(pump)[1:4]:
        shutil.copy(clip, inbox)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 2 and said.count("\n") == 1, said
    assert "out.csv: cannot be written (file too large); make room" in said
    rows = rows_in(tmp_path / "out.csv")
    assert 0 < len(rows) < 4 and all(row["model"] for row in rows)
    until(command(pump, inbox, tmp_path), tmp_path, 4)
    assert_each_once(inbox, tmp_path)


ENV = os.environ | {"PYTHONPATH": str(ROOT / "src")}
STREAMS = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "env": ENV}


def command(pump, inbox, tmp_path):
    words = ["score", str(pump), "--machine", "alpha", "--watch", str(inbox), "--out", str(tmp_path / "out.csv")]
    return [sys.executable, "-m", "nearfar.cli", *words]


def until(words, tmp_path, count):
    """Run a watcher until its csv has so many rows."""
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # in the background a shell ignores it
    process, end = subprocess.Popen(words, **STREAMS, **heard), time.monotonic() + 100
    while len(rows_in(tmp_path / "out.csv")) < count and process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130 and not said, said


def assert_each_once(inbox, tmp_path):
    counts = Counter(row["clip"] for row in rows_in(tmp_path / "out.csv"))
    assert set(counts) == {path.name for path in inbox.iterdir()} and set(counts.values()) == {1}


@pytest.mark.slow
def test_killed_again_and_again_it_scores_each_clip_once(pump, inbox, tmp_path):
    clip, rng = clips_beside(pump)[0], np.random.default_rng(0)
    for kill in range(4):
        for number in range(10):
            shutil.copy(clip, inbox / f"{kill}_{number}.wav")
        process = subprocess.Popen(command(pump, inbox, tmp_path), **STREAMS)
        rows, end = len(rows_in(tmp_path / "out.csv")) if kill else 0, time.monotonic() + 100
        target = rows + 1 + int(rng.integers(6))
        while time.monotonic() < end:
            if (tmp_path / "out.csv").exists() and (tmp_path / "out.csv").read_bytes().count(b"\n") > target:
                break
            time.sleep(0.005)
        process.kill()
        process.communicate()
    until(command(pump, inbox, tmp_path), tmp_path, 40)
    assert_each_once(inbox, tmp_path)


def test_drift_has_its_rate_of_false_alarms_for_any_number_of_training_clips():
    rng = np.random.default_rng(0)
    for count in (10, 30, 120, 1000):
        chances = []
        for _ in range(4000):
            training, clips = rng.standard_normal(count), rng.standard_normal(BLOCK)
            p = (1 + (training[:, None] >= clips).sum(axis=0)) / (count + 1)
            chances.append(drift(p, count))
        for level in (0.05, 0.01):
            assert np.mean(np.array(chances) <= level) <= level + 3 * np.sqrt(level / 4000), (count, level)
        assert np.mean(np.array(chances) < RATE) <= 4 * RATE


def test_drift_is_told_where_normal_has_moved_and_not_for_a_few_anomalies():
    rng, count = np.random.default_rng(1), 120
    training = rng.standard_normal(count)

    def p_values(clips):
        return list((1 + (training[:, None] >= clips).sum(axis=0)) / (count + 1))

    moved, few = p_values(rng.standard_normal(BLOCK) + 1), p_values(np.r_[rng.standard_normal(BLOCK - 3), 9, 9, 9])
    assert warning("pump", moved, count).startswith("pump: normal has moved: its clips 1 to 50 are more anomalous")
    assert warning("pump", few, count) is None
    assert warning("pump", moved[:-1], count) is None
    assert "clips 51 to 100" in warning("pump", few + moved, count)
    assert warning("pump", moved + few, count) is None


def test_the_watcher_says_once_a_block_where_normal_has_moved(watcher, pump, inbox, monkeypatch):
    from nearfar.export.scoring import moved

    monkeypatch.setattr("nearfar.export.scoring.BLOCK", 5), monkeypatch.setattr("nearfar.export.drift.BLOCK", 5)
    names = put(pump, inbox, 4)
    shutil.copy(inbox / names[0], inbox / "e.wav")
    monkeypatch.setattr("nearfar.export.drift.drift", lambda *_: 1e-9)
    looked = [rows for _ in range(2) for rows in watcher.look()]
    assert len(looked) == 5
    assert "clips 1 to 5" in moved(watcher.model, watcher.journal, looked[-1])
    watcher.journal.p_values["alpha"].pop()
    assert moved(watcher.model, watcher.journal, looked[-1]) is None


def test_the_drift_of_another_model_is_not_counted(tmp_path, watcher, pump, inbox):
    put(pump, inbox, 2)
    looks(watcher)
    watcher.journal.close()
    for name, count in (("m1", 2), ("m2", 0)):
        journal = Journal(watcher.journal.path, name)
        assert len(journal.p_values["alpha"]) == count and len(journal.known) == 2
        journal.close()
    watcher.journal = Journal(watcher.journal.path, "m1")
