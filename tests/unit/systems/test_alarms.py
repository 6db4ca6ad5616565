"""Conformal p-values, and thresholds that keep a rate."""

import numpy as np
import pytest

from nearfar.systems.alarms import p_values, threshold
from nearfar.systems.fusion import fuse, fuse_families

NONE = {"percentile": 90, "false_alarm": None, "fdr": None}


def test_a_p_value_counts_the_training_scores_at_or_above_and_the_clip_itself():
    training = np.array([1.0, 2.0, 2.0, 3.0])
    assert p_values(np.array([4.0, 3.0, 2.0, 0.0]), training).tolist() == [1 / 5, 2 / 5, 4 / 5, 1.0]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1, 0.5])
def test_above_the_threshold_is_just_where_the_p_value_is_small_enough(rate, ties):
    rng = np.random.default_rng(0)
    for count in (9, 19, 20, 99, 100):
        training, scores = (rng.normal(size=size).round(1 if ties else 9) for size in (count, 500))
        limit = threshold(training, scores, **NONE | {"false_alarm": rate})
        assert np.array_equal(scores > limit, p_values(scores, training) <= rate + 1e-12)


def test_so_few_clips_that_none_can_be_rare_give_no_alarm():
    assert threshold(np.arange(10.0), np.array([1e9]), **NONE | {"false_alarm": 0.05}) == np.inf


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1])
def test_normal_clips_are_alarms_at_the_rate_or_less(rate):
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(4000):
        training, score = rng.exponential(size=119), rng.exponential(size=1)
        alarms += int(score[0] > threshold(training, score, **NONE | {"false_alarm": rate}))
    assert alarms / 4000 <= rate + 3 * np.sqrt(rate / 4000)
    assert alarms / 4000 >= np.floor(rate * 120) / 120 - 3 * np.sqrt(rate / 4000)


def test_the_false_discovery_rate_is_that_of_benjamini_and_hochberg():
    rng = np.random.default_rng(2)
    for _ in range(50):
        training, scores = rng.normal(size=199), np.concatenate([rng.normal(size=80), rng.normal(4, 1, size=20)])
        p, order = p_values(scores, training), np.argsort(p_values(scores, training), kind="stable")
        passing = [k for k in range(1, 101) if p[order[k - 1]] <= 0.1 * k / 100 + 1e-12]
        expected = p <= p[order[max(passing) - 1]] if passing else np.zeros(100, bool)
        assert np.array_equal(scores > threshold(training, scores, **NONE | {"fdr": 0.1}), expected)


def test_false_discoveries_are_as_rare_as_they_are_to_be():
    rng, shares = np.random.default_rng(3), []
    for _ in range(600):
        training, scores = rng.normal(size=199), np.concatenate([rng.normal(size=80), rng.normal(3.5, 1, size=20)])
        alarms = scores > threshold(training, scores, **NONE | {"fdr": 0.1})
        shares.append(alarms[:80].sum() / max(alarms.sum(), 1))
    assert 0.03 < np.mean(shares) < 0.1 + 3 * np.std(shares) / np.sqrt(600)


def test_nothing_is_discovered_where_nothing_is_rare():
    assert threshold(np.arange(50.0), np.zeros(10), **NONE | {"fdr": 0.1}) == np.inf


def test_the_paper_s_is_a_percentile_of_the_training_scores():
    assert threshold(np.arange(101.0), np.zeros(3), **NONE) == 90.0


@pytest.mark.parametrize("members", [2, 8])
@pytest.mark.parametrize("families", [False, True])
def test_fused_scores_of_normal_clips_are_alarms_at_the_rate_or_less(families, members):
    rng, rates, p, names = np.random.default_rng(4), np.array([0.01, 0.05, 0.1]), [], [f"d{k}" for k in range(members)]
    for _ in range(150):
        train, test = ({name: rng.exponential(size=count) for name in names} for count in (119, 100))
        if families:
            fused = fuse_families(train, test, {name: [name] for name in names}, combine="soft_maximum", percentile=90)
        else:
            fused = fuse(train, test, dict.fromkeys(names, 1 / members), ranks="test", percentile=90)
        p.append(p_values(fused.level, fused.training))
    found = (np.array(p)[:, :, None] <= rates + 1e-12).mean(axis=1)
    error = found.std(axis=0) / np.sqrt(len(p))
    assert (found.mean(axis=0) <= rates + 3 * error).all(), found.mean(axis=0)
    assert (found.mean(axis=0) >= 0.75 * np.floor(rates * 120) / 120 - 3 * error).all(), found.mean(axis=0)
