"""Classes of training clips, and LCCR from file to file."""

import csv

import numpy as np
import pytest
import soundfile
from conftest import CONFIG, noise, write_clips, write_machine

from nearfar.data.clips import read_clips
from nearfar.jobs.files import read_table, read_vectors, write_vectors
from nearfar.lccr.files import embed_lccr, train_lccr
from nearfar.lccr.maps import write_maps
from nearfar.learning.classes import show_classes, write_classes

CLUSTERS = CONFIG["training"]["clusters"]
LCCR = CONFIG["features"]["lccr"]


def tables(tmp_path, attribute):
    """Return the training clips' table and an embedding file in which they fall into two groups."""
    write_machine(tmp_path, "m", source=30, target=10, attribute=attribute)
    table = write_clips("m", tmp_path / "m", tmp_path)[0]
    clips = read_clips(table)
    rng = np.random.default_rng(0)
    files = clips["file"][::-1]
    vectors = [rng.standard_normal(8) * 0.1 + 5 * (i % 2) for i in range(len(files))]
    write_vectors(tmp_path / "embedding.parquet", files, vectors)
    return table, tmp_path / "embedding.parquet"


@pytest.mark.parametrize(
    ("attribute", "pseudo", "expected"),
    [
        ("spd_1", True, {"m/spd_1"}),
        ("noAttribute", True, {"m/cluster_0", "m/cluster_1"}),
        ("noAttribute", False, {"m/cluster_0"}),
    ],
)
def test_clusters_stand_in_for_hidden_attributes(tmp_path, attribute, pseudo, expected):
    write_classes(*tables(tmp_path, attribute), tmp_path / "classes.parquet", pseudo=pseudo, **CLUSTERS)
    rows = read_table(tmp_path / "classes.parquet")
    assert len(rows["file"]) == 40 and set(rows["class"]) == expected
    assert (rows["silhouette"] > 0.9).all() == (len(expected) == 2)


def test_lccr_embeds_a_clip_by_its_own_windows(tmp_path):
    clips, embedding = tables(tmp_path, "spd_1")
    write_classes(clips, embedding, tmp_path / "classes.parquet", pseudo=True, **CLUSTERS)
    maps, model = tmp_path / "maps.npy", tmp_path / "model.safetensors"
    how = LCCR["maps"] | {"mels": 32}
    write_maps(read_clips(clips)["path"], maps, **how)
    train_lccr(
        [clips], [tmp_path / "classes.parquet"], [maps], model, tmp_path / "log.parquet",
        map_params=how, params=LCCR["train"] | {"epochs": 1, "batch": 16, "crop": 8}, seed=0, device="cpu",
    )  # fmt: skip
    both = [clips, clips.replace("train", "test")]
    embed_lccr(both, model, tmp_path / "lccr.parquet", device="cpu", made="a")
    files, vectors = read_vectors(tmp_path / "lccr.parquet")
    assert vectors.shape == (48, 128) and list(files) == list(read_clips(both)["file"])
    longer = tmp_path / "m/test" / next(file for file in files if "_test_" in file)
    soundfile.write(longer, noise(("longer",), 0.7), 16000, subtype="PCM_16")
    embed_lccr(write_clips("m", tmp_path / "m", tmp_path), model, tmp_path / "again.parquet", device="cpu", made="a")
    same = (read_vectors(tmp_path / "again.parquet")[1] == vectors).all(axis=1)
    assert list(files[~same]) == [longer.name]


def test_classes_are_shown_to_a_person(tmp_path):
    clips, embedding = tables(tmp_path, "noAttribute")
    write_classes(clips, embedding, tmp_path / "classes.parquet", pseudo=True, **CLUSTERS)
    show_classes(clips, embedding, tmp_path / "classes.parquet", tmp_path / "m.csv", tmp_path / "m.png", components=32)
    with open(tmp_path / "m.csv", newline="") as file:
        shown = list(csv.DictReader(file))
    rows = read_table(tmp_path / "classes.parquet")
    assert [(row["file"], row["class"]) for row in shown] == list(zip(rows["file"], rows["class"], strict=True))
    assert {row["cluster"] for row in shown} == {"0", "1"}
    assert all(0.9 < float(row["silhouette"]) <= 1 for row in shown)
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")
