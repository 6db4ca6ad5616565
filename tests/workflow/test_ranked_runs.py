"""Runs of own recordings: long ones by windows, and faults that cost no other machine its ranking."""

import csv
import os

import numpy as np
import pytest
from conftest import CONFIG, TOY, Project, noise
from soundfile import write

pytestmark = pytest.mark.slow
TABLES = ["ranking", "timeline", "eval"]
TARGETS = [f"results/one/{name}.csv" for name in TABLES] + ["results/detectors.csv", "results/compare.md"]


def recorded(folder, machine, training):
    """Write recordings of 3 to 24 s, anomalous ones filtered, a file that is none, and return their rows."""
    given = [("train", "normal", i, 24) for i in range(training)]
    given += [
        ("test", label, i, seconds) for label in ("normal", "anomaly") for i, seconds in enumerate((3, 12, 24, 6))
    ]
    for split, label, number, seconds in given:
        name = f"{machine}/{split}_{label}_{number}.flac"
        wave = noise((name,), seconds)
        (folder / machine).mkdir(parents=True, exist_ok=True)
        write(folder / name, wave if label == "normal" else (wave + np.roll(wave, 1, axis=0)) / 2, 16000)
        yield f"{name},{machine},{split},{label},{('source', 'target')[number % 2]}"
    (folder / machine / "bad.flac").write_bytes(b"no sound")
    yield f"{machine}/bad.flac,{machine},test,normal,source"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The rows of every table of a run of a machine that can be scored and of one that cannot."""
    folder = tmp_path_factory.mktemp("long")
    lines = [*recorded(folder / "data", "pump", 4), *recorded(folder / "data", "belt", 1)]
    (folder / "data/mine.csv").write_text("\n".join(["path,machine,split,label,domain", *lines, ""]))
    training = CONFIG["training"] | {"machines": None}
    data = {"clips": "data/mine.csv", "window": 3.0, "hop": 3.0}
    project = Project(folder, TOY | {"data": data, "training": training})
    done = project.run(*TARGETS, "results/skipped.csv")
    assert done.returncode == 0, done.stdout
    assert "not scored: belt (8 training clips, at least 10 are needed; add some)" in done.stdout
    assert "Not scored: belt (8 training" in (folder / "results/compare.md").read_text()
    tables = {}
    for path in (folder / "results").glob("**/*.csv"):
        with open(path, newline="") as file:
            tables[path.stem] = list(csv.DictReader(file))
    return tables


def test_every_table_names_the_machine_that_could_not_be_scored(rows):
    for name, first, second in (("eval", "machine", "section"), ("detectors", "detector", "section")):
        (row,) = [row for row in rows[name] if row[first] == "not scored"]
        assert row[second].startswith("belt (8 training clips") and not row["omega"]
    for name in ("ranking", "timeline"):
        (row,) = [row for row in rows[name] if row["machine"] == "belt"]
        assert row["decision"] == "not scored" and row["note"].startswith("8 training clips")
    assert [row["machine"] for row in rows["eval"]] == ["pump", "not scored", "all"]


def test_a_recording_that_is_none_costs_nothing_but_itself(rows):
    listed = [(row["machine"], row["split"], row["recording"]) for row in rows["skipped"]]
    assert listed == [("belt", "train", ""), ("pump", "test", "pump/bad.flac")]
    (row,) = [row for row in rows["ranking"] if row["recording"] == "pump/bad.flac"]
    assert row["decision"] == "not scored" and "cannot be decoded" in row["note"]
    assert os.path.dirname(row["path"]) == os.path.dirname(rows["ranking"][0]["path"]), "as the others have it"
    assert len([row for row in rows["ranking"] if row["machine"] == "pump"]) == 9


def test_recordings_are_ranked_once_and_timed_by_window(rows):
    ranked = [row for row in rows["ranking"] if row["rank"]]
    assert [row["rank"] for row in ranked] == [str(i) for i in range(1, 9)]
    assert [row["decision"] for row in ranked] == sorted(row["decision"] for row in ranked)
    assert {row["decision"] for row in ranked[:4]} == {"anomaly"}
    timed = [row for row in rows["timeline"] if row["recording"] == "pump/test_normal_2.flac"]
    assert [float(row["start"]) for row in timed] == [3.0 * i for i in range(8)]
    worst = sorted((float(row["score"]) for row in timed), reverse=True)[:3]
    (row,) = [row for row in ranked if row["recording"] == "pump/test_normal_2.flac"]
    assert float(row["score"]) == pytest.approx(sum(worst) / 3, abs=2e-6)
