import numpy as np
import pytest
from conftest import CONFIG

from nearfar.errors import NearfarError
from nearfar.jobs.files import write_table
from nearfar.learning.classes import cluster, named, read_classes

CLUSTERS = CONFIG["training"]["clusters"]


def planted(sizes=(40, 30, 20), dims=24, noise=0.15, seed=0):
    """Clips around one direction a cluster, with file names in a random order."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    points = np.eye(len(sizes), dims)[truth] + noise * random.standard_normal((len(truth), dims)) / np.sqrt(dims)
    files = np.array([f"clip_{n:04d}.wav" for n in random.permutation(len(truth))], dtype=object)
    return files, points * random.uniform(0.9, 1.1, (len(truth), 1)), truth


def same_partition(a, b):
    pairs = set(zip(a, b, strict=True))
    return len(pairs) == len(set(a)) == len(set(b))


def test_planted_clusters_are_found():
    files, points, truth = planted(noise=0.05)
    found, silhouettes = cluster(files, points, **CLUSTERS)
    assert same_partition(found, truth)
    assert silhouettes.shape == truth.shape and silhouettes.min() > 0.3


def test_clip_order_does_not_matter():
    files, points, _ = planted(noise=1.0)
    found, silhouettes = cluster(files, points, **CLUSTERS)
    order = np.random.default_rng(3).permutation(len(files))
    again, others = cluster(files[order], points[order], **CLUSTERS)
    assert len(set(found)) > 1
    np.testing.assert_array_equal(again, found[order])
    np.testing.assert_allclose(others, silhouettes[order], atol=1e-9)


def test_clusters_are_numbered_by_file_name():
    files, points, _ = planted()
    found, _ = cluster(files, points, **CLUSTERS)
    by_name = found[np.argsort(files)]
    assert [k for i, k in enumerate(by_name) if k not in by_name[:i]] == sorted(set(found))


def test_no_cluster_is_smaller_than_allowed():
    files, points, truth = planted(sizes=(50, 40, 5))
    assert same_partition(cluster(files, points, **CLUSTERS | {"smallest": 5})[0], truth)
    assert np.bincount(cluster(files, points, **CLUSTERS | {"smallest": 10})[0]).min() >= 10


@pytest.mark.parametrize(("sizes", "smallest"), [((9, 10), 10), ((40, 3), 20), ((1,), 10)])
def test_fallback_is_one_cluster(sizes, smallest):
    files, points, truth = planted(sizes=sizes)
    found, silhouettes = cluster(files, points, **CLUSTERS | {"smallest": smallest, "most": 2})
    assert (found == 0).all() and (silhouettes == 0).all() and len(found) == sum(sizes)


def test_equal_clips_are_one_cluster():
    files, _, _ = planted()
    assert set(cluster(files, np.ones((90, 8)), **CLUSTERS)[0]) == {0}


def test_embeddings_that_are_not_finite_are_refused():
    files, points, _ = planted()
    points[7, 2] = np.nan
    with pytest.raises(NearfarError, match=files[7]):
        cluster(files, points, **CLUSTERS)


def test_classes_use_clusters_where_attributes_are_hidden():
    names = named("fan", ["spd_1", "noAttribute", "noAttribute"], [0, 0, 3])
    assert names.tolist() == ["fan/spd_1", "fan/cluster_0", "fan/cluster_3"]


def test_classes_are_read_in_the_order_asked_for(tmp_path):
    write_table(tmp_path / "classes", {"file": ["a.wav", "b.wav", "c.wav"], "class": ["m/1", "m/2", "m/1"]})
    assert read_classes(tmp_path / "classes", ["c.wav", "b.wav"]).tolist() == ["m/1", "m/2"]
    with pytest.raises(NearfarError, match=r"classes: has no class of d\.wav \(2 missing\); delete it and run again"):
        read_classes(tmp_path / "classes", ["a.wav", "d.wav", "e.wav"])
