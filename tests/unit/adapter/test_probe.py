import csv

import numpy as np
import pytest
from conftest import write_clips, write_machine

from nearfar.adapter.probe import distances, labelled, probe_files, probe_machine, write_probe
from nearfar.data.clips import read_clips
from nearfar.jobs.files import write_table, write_vectors

TRAIN = np.array([[1, 0], [0, 5]])
TEST = np.array([[2, 0], [3, 4], [1, 1], [-1, 0], [0, 1], [-3, -4]])
LABEL = np.array(["normal", "anomaly", "normal", "anomaly", "normal", "anomaly"], object)
DOMAIN = np.array(["source", "source", "source", "source", "target", "target"], object)


def test_distance_to_the_nearest_by_hand():
    np.testing.assert_allclose(distances(TRAIN, TEST), [0, 0.2, 1 - np.sqrt(0.5), 1, 0, 1.6], atol=1e-12)


def test_probe_by_hand():
    row = probe_machine(TRAIN, TEST, LABEL, DOMAIN, machine="fan", epoch=3, when="after")
    # source: normals 0 and 0.293, anomalies 0.2 and 1: three of four pairs are in order
    assert row == {
        "when": "after",
        "epoch": 3,
        "machine": "fan",
        "auc_source": 0.75,
        "auc_target": 1,
        "auc_mean": 0.875,
    }


def test_a_domain_without_anomalies_has_no_auc():
    label = np.where(DOMAIN == "target", "normal", LABEL)
    row = probe_machine(TRAIN, TEST, label, DOMAIN, machine="fan", epoch=0, when="before")
    assert np.isnan(row["auc_target"]) and row["auc_mean"] == row["auc_source"] == 0.75


@pytest.mark.parametrize(("label", "expected"), [(LABEL, True), ([None] * 6, False), (["normal"] * 6, False)])
def test_labelled(label, expected):
    assert labelled(label, DOMAIN) is expected


def write_features(path, table, shift):
    random = [np.random.default_rng(len(file) + sum(map(ord, file))) for file in table["file"]]
    vectors = np.stack([generator.normal(1, 0.1, 4) for generator in random])
    vectors[:, 3] -= shift * (table["label"] == "anomaly")
    write_vectors(path, table["file"], vectors)


def test_table_and_plot(tmp_path):
    write_machine(tmp_path, "alpha", test=3, seconds=0.1)
    clips = dict(zip(("train", "test"), write_clips("alpha", tmp_path / "alpha", tmp_path), strict=True))
    frozen = {split: [tmp_path / f"frozen_{split}"] for split in clips}
    for split, path in clips.items():
        write_features(frozen[split][0], read_clips(path), 0)
    write_features(tmp_path / "adapted", read_clips(clips.values()), 3)
    log = {"epoch": [1, 2], "loss": [2.0, 1.0], "supcon": [1.0, 0.5], "alignment": [2.0, 1.0]}
    write_table(tmp_path / "training", log)
    out = tmp_path / "probe.csv", tmp_path / "training.png"
    tables = {split: [path] for split, path in clips.items()}
    given = [tables, frozen, [tmp_path / "adapted"], tmp_path / "training"]
    write_probe(*given, *out)
    with out[0].open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["when"], row["epoch"]) for row in found] == [("before", "0"), ("after", "2")]
    assert float(found[-1]["auc_mean"]) == 1 > float(found[0]["auc_mean"])
    first = out[1].read_bytes()
    write_probe(*given, *out)
    assert first == out[1].read_bytes() and first.startswith(b"\x89PNG")


def test_machines_without_labels_are_left_out(tmp_path):
    write_machine(tmp_path, "alpha", seconds=0.1)
    for number, path in enumerate(sorted((tmp_path / "alpha/test").iterdir())):
        path.rename(path.with_name(f"section_00_{number:04d}.wav"))
    train, test = write_clips("alpha", tmp_path / "alpha", tmp_path)
    features = tmp_path / "features"
    write_features(features, read_clips([train, test]), 0)
    assert probe_files([(train, features)], [(test, features)], epoch=0, when="before") == []
