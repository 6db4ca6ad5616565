import numpy as np
import pytest

from nearfar.errors import NearfarError
from nearfar.learning.sampling import batches


def labels(machines=3, source=90, target=10):
    """Machine 0 tells the domain by its class, machine 1 has classes in both domains, machine 2 has one."""
    rows = []
    for machine in range(machines):
        for clip in range(source + target):
            domain = "source" if clip < source else "target"
            name = (f"{domain}{clip % 3}", f"spd_{clip % 4}", "noAttribute")[machine % 3]
            rows.append((f"m{machine}/{name}", domain, f"m{machine}"))
    return [np.array(column) for column in zip(*rows, strict=True)]


def plan(columns, batch=32, seed=0, epoch=0):
    return batches(*columns, batch=batch, seed=seed, epoch=epoch)


@pytest.mark.parametrize("batch", [8, 10, 16, 32, 64, 100])
def test_every_batch_has_positives_and_both_domains_of_a_machine(batch):
    classes, domains, machines = columns = labels()
    for rows in plan(columns, batch):
        assert len(rows) <= batch
        assert np.unique(classes[rows], return_counts=True)[1].min() >= 2
        assert (domains[rows] == "target").sum() >= 2
        both = [len(set(domains[rows][machines[rows] == m])) == 2 for m in set(machines[rows])]
        assert any(both)


def test_every_source_clip_comes_once_and_targets_often():
    columns = labels()
    counts = np.bincount(np.concatenate(plan(columns)), minlength=300)
    assert (counts[columns[1] == "source"] == 1).all()
    assert 0.2 < (columns[1][np.concatenate(plan(columns))] == "target").mean() < 0.35
    seen = np.concatenate([np.concatenate(plan(columns, epoch=e)) for e in range(5)])
    assert set(np.flatnonzero(columns[1] == "target")) <= set(seen)


def test_batches_mix_machines_and_are_nearly_full():
    columns = labels()
    made = plan(columns, 32)
    assert all(len(set(columns[2][rows])) == 3 for rows in made)
    assert min(map(len, made)) >= 24


def test_plan_depends_on_seed_and_epoch_only():
    columns = labels()
    np.random.seed(1)
    first = plan(columns)
    np.random.seed(2)
    again = plan(columns)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (plan(columns, epoch=1), plan(columns, seed=1)):
        assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=False))


def test_a_class_of_one_clip_gives_it_twice():
    columns = [np.append(column, word) for column, word in zip(labels(), ("m0/odd", "source", "m0"), strict=True)]
    assert (np.concatenate(plan(columns)) == 300).sum() == 2


def test_batches_of_machines_without_targets_borrow_a_machine_that_has_them():
    classes, domains, machines = columns = labels(machines=3)
    keep = (machines == "m0") & (np.arange(300) % 9 == 0) | (machines != "m0") & (domains == "source")
    keep |= (machines == "m0") & (domains == "target")
    columns = [column[keep] for column in columns]
    for rows in plan(columns, 8):
        mine = columns[2][rows] == "m0"
        assert len(rows) <= 8 and set(columns[1][rows][mine]) == {"source", "target"}
        assert np.unique(columns[0][rows], return_counts=True)[1].min() >= 2


def test_one_domain_alone_makes_batches_too():
    for word in ("source", "target"):
        classes, _, machines = labels()
        columns = classes, np.full(300, word), machines
        assert sorted(np.concatenate(plan(columns))) == list(range(300))


def test_a_batch_too_small_is_refused():
    with pytest.raises(NearfarError, match="batch: 4"):
        plan(labels(), 4)
