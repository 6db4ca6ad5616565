"""Batches for contrastive training: positives for every anchor, both domains in every batch."""

from collections.abc import Sequence

import numpy as np

from nearfar.errors import NearfarError
from nearfar.jobs.kinds import Count
from nearfar.seeds import seed_for

GROUP = 4  # source clips of one class in one batch
TARGET_SHARE = 4  # one place in four is a target clip's, though targets are one clip in a hundred


def batches(
    classes: Sequence[str], domains: Sequence[str], machines: Sequence[str], *, batch: Count, seed: int, epoch: int
) -> list[np.ndarray]:
    """Return the batches of one epoch, a list of int arrays of at most ``batch`` clip numbers.

    classes, machines: (clips,) words; domains: (clips,) of "source" | "target". Every source clip comes
    once, in groups of 2 to 4 of its class, the groups of a class spread evenly over the epoch. Every batch
    is then given pairs of target clips, each pair of one class, of machines whose source clips it holds,
    so both terms of the loss are defined. A class of one clip (in its domain) gives that clip twice.
    A machine without source clips is taken as source; without any target clip batches hold source only.

    The result depends on the arguments only. Raises NearfarError for a batch of fewer than 8 clips.
    """
    if batch < 8:
        raise NearfarError(f"batch: {batch} is too small for positives and both domains; give 8 or more")
    classes, domains, machines = (np.asarray(a, dtype=str) for a in (classes, domains, machines))
    random = np.random.default_rng(seed_for(seed, "batches", epoch))
    target = (domains == "target") & np.isin(machines, machines[domains == "source"])
    places = 2 * max(1, batch // (2 * TARGET_SHARE)) if target.any() else 0
    groups = _spread(_groups(np.flatnonzero(~target), classes, random), random)
    count = -(-len(groups) // ((batch - places) // GROUP))
    pools = {domain: _pools(np.flatnonzero(chosen), classes, machines)
             for domain, chosen in (("source", ~target), ("target", target))}  # fmt: skip
    return [
        np.concatenate([*part, *_pairs(machines[np.concatenate(part)], pools, places // 2, random)])
        for part in _split(groups, count)
    ]


def _groups(clips, classes, random):
    """Return, for each class among ``clips``, a list of groups (2…GROUP,) that hold each of its clips once."""
    by_class = []
    for name in np.unique(classes[clips]):
        members = random.permutation(clips[classes[clips] == name])
        members = np.repeat(members, 2) if len(members) == 1 else members
        by_class.append(np.array_split(members, -(-len(members) // GROUP)))
    return by_class


def _spread(by_class, random):
    """Return all groups in one list in which each class is evenly spaced, from a random start."""
    keyed = [
        ((place + start) / len(groups), random.random(), group)
        for groups, start in zip(by_class, random.random(len(by_class)), strict=True)
        for place, group in enumerate(groups)
    ]
    return [group for *_, group in sorted(keyed, key=lambda item: item[:2])]


def _split(groups, count):
    """Cut a list into ``count`` parts whose sizes differ by one at most."""
    bounds = np.linspace(0, len(groups), count + 1).astype(int)
    return [groups[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


def _pools(clips, classes, machines):
    """Return, for each machine, a list of the clips of each of its classes."""
    return {
        machine: [own[classes[own] == name] for name in np.unique(classes[own])]
        for machine in np.unique(machines[clips])
        for own in [clips[machines[clips] == machine]]
    }


def _pairs(present, pools, count, random):
    """Return ``count`` pairs of target clips of machines ``present``, those in turn, a class drawn for each.

    Where none of them has target clips, half the pairs are source clips of a machine that has.
    """
    if not count:
        return []
    machines = random.permutation([name for name in np.unique(present) if name in pools["target"]])
    if len(machines):
        return [_pair(pools["target"][machines[i % len(machines)]], random) for i in range(count)]
    machine = random.choice(sorted(pools["target"]))
    return [_pair(pools[("target", "source")[i % 2]][machine], random) for i in range(max(2, count))]


def _pair(pool, random):
    members = pool[random.integers(len(pool))]
    return random.choice(members, 2, replace=len(members) < 2)
