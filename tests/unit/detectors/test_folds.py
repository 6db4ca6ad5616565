"""Folds of whole clips, of recordings and of blocks of time."""

from itertools import pairwise

import numpy as np
import pytest
from conftest import params_of

from nearfar.data.skipped import window_name
from nearfar.detectors.crossfit import CrossFit
from nearfar.detectors.folds import fold_of
from nearfar.seeds import fraction


def windows(*lengths):
    """Files and recordings of windows, so many of each recording, in order of time."""
    recording = np.repeat([f"{i}.flac" for i in range(len(lengths))], lengths)
    starts = [10.0 * i for length in lengths for i in range(length)]
    return np.array(list(map(window_name, recording, starts))), recording


def dealt(lengths, folds, seed=0):
    files, recording = windows(*lengths)
    return fold_of(files, np.full(len(files), "source"), recording, folds, seed), recording


@pytest.mark.parametrize("folds", [2, 3, 5, 9])
@pytest.mark.parametrize("seed", [0, 7])
def test_whole_clips_are_dealt_in_turn_by_the_hash_of_their_names(folds, seed):
    files = np.array([f"clip_{i}.wav" for i in range(60)])
    domain = np.array(["source"] * 41 + ["target"] * 19)
    expected = np.zeros(60, int)
    for rows in (np.arange(41), np.arange(41, 60)):
        order = sorted(rows, key=lambda i: fraction(seed, files[i]))
        expected[order] = np.arange(len(order)) % folds
    assert np.array_equal(fold_of(files, domain, files, folds, seed), expected)


@pytest.mark.parametrize("lengths", [[3] * 8, [1, 9, 4, 4, 7, 2], [40, 30, 35, 20, 38]])
def test_whole_recordings_are_held_out_where_there_are_as_many_as_folds(lengths):
    fold, recording = dealt(lengths, 5)
    assert all(len(set(fold[recording == name])) == 1 for name in recording)
    assert set(fold) == set(range(5))


@pytest.mark.parametrize(("lengths", "folds"), [([180], 5), ([11], 3), ([90, 90], 5), ([50, 7], 3)])
def test_fewer_recordings_are_cut_into_blocks_of_time(lengths, folds):
    fold, recording = dealt(lengths, folds)
    for name, length in zip(sorted(set(recording)), lengths, strict=True):
        own = fold[recording == name]
        runs = 1 + sum(a != b for a, b in pairwise(own))
        assert runs <= folds and len(own) == length
    counts = np.bincount(fold, minlength=folds)
    assert counts.max() - counts.min() <= len(lengths), "the folds are about as large"


def test_one_recording_gives_each_fold_one_block_by_chance_of_its_name():
    orders = {tuple(dict.fromkeys(dealt([50], 5, seed)[0])) for seed in range(9)}
    assert len(orders) > 1 and all(sorted(order) == list(range(5)) for order in orders)


def test_a_recording_that_outweighs_the_others_is_cut():
    fold, recording = dealt([180, 1, 1, 1, 1, 1], 5)
    counts = np.bincount(fold[recording == "0.flac"])
    assert list(counts) == [36] * 5


def test_the_order_of_windows_changes_nothing():
    files, recording = windows(20, 31, 7)
    domain, back = np.array(["source", "target"]).repeat([51, 7]), np.arange(58)[::-1]
    fold = fold_of(files, domain, recording, 3, 1)
    assert np.array_equal(fold_of(files[back], domain[back], recording[back], 3, 1), fold[back])
    assert len(set(fold[recording == "2.flac"])) == 3, "each domain by itself"


def drifting(rng, count, recordings=1):
    """Views of windows whose sound drifts: neighbours resemble each other."""
    steps = rng.standard_normal((recordings, count, 8))
    for i in range(1, count):
        steps[:, i] = 0.9 * steps[:, i - 1] + np.sqrt(1 - 0.9**2) * steps[:, i]
    return steps.reshape(-1, 8) + 5


@pytest.mark.parametrize("method", ["knn", "whitened", "mahalanobis"])
def test_the_threshold_of_one_long_recording_holds_on_another_day(method):
    """The share of windows of other days above the 90th percentile, in blocks of time and dealt one by one."""
    rng, above = np.random.default_rng(0), {True: [], False: []}
    params = params_of(method, reference="pooled")
    for _ in range(10):
        files, recording = windows(300)
        view, fresh = drifting(rng, 300), drifting(rng, 300, recordings=4)
        for known, shares in above.items():
            fits = CrossFit(method, params, 5, 0)
            fits.fit(files, np.full(300, "source"), [view], "cap", recording if known else None)
            limit = np.quantile(fits.training_scores([view]), 0.9)
            shares.append((fits.score([fresh]) > limit).mean())
    assert np.mean(above[True]) < 0.13 and np.mean(above[False]) > 0.25
