"""Normalization, ranks, fusion and the decision."""

from functools import partial

import numpy as np
import pytest

from nearfar.detectors import normalization
from nearfar.systems.fusion import COMBINED, fuse, fuse_families, own_ranks, test_ranks, train_ranks
from nearfar.systems.weights import members_of, weights_of

test_ranks.__test__ = False  # its name is the configuration's word, not a test's
normalize = partial(normalization.normalize, pseudo_clips=5, reference="domain")
DOMAIN = np.array(["source"] * 90 + ["target"] * 10)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_normalization_of_one_number_changes_no_rank(rng):
    train, test = rng.gamma(2, size=100), rng.gamma(3, size=200)
    for normalized, plain in zip(normalize(train, test, DOMAIN), (train, test), strict=True):
        assert np.array_equal(np.argsort(normalized), np.argsort(plain))
        assert len(np.unique(normalized)) == len(np.unique(plain))


def test_normalization_of_two_by_hand():
    train = np.array([[1.0, 9.0], [3.0, 9.0], [9.0, 10.0], [9.0, 14.0]])
    domain = np.array(["source", "source", "target", "target"])
    # source: mean 2, spread 1; target: mean 12, spread 2
    _, test = normalize(train, np.array([[4.0, 20.0], [9.0, 10.0]]), domain, pseudo_clips=0)
    np.testing.assert_allclose(test, [2.0, -1.0])
    # two target clips of variance 4 and two pseudo-clips of variance 1
    _, test = normalize(train, np.array([[100.0, 15.0]]), domain, pseudo_clips=2)
    np.testing.assert_allclose(test, [3 / np.sqrt(2.5)])
    _, test = normalize(train, np.array([[4.0, 20.0], [9.0, 3.0]]), domain, reference="nearest")
    assert test[0] > test[1]


def test_two_references_take_the_offset_between_domains_away(rng):
    """Target normals score higher on both references; the official AUC would count them as anomalies."""
    train = np.vstack([rng.normal([1, 3], 0.1, (90, 2)), rng.normal([3, 2], 0.1, (10, 2))])
    source, target = rng.normal([1, 3], 0.1, (50, 2)), rng.normal([3, 2], 0.1, (50, 2))
    _, test = normalize(train, np.vstack([source, target]), DOMAIN)
    _, nearest = normalize(train, np.vstack([source, target]), DOMAIN, reference="nearest")
    assert abs(np.mean(test[:50][:, None] > test[50:][None]) - 0.5) < 0.2
    assert np.mean(nearest[:50][:, None] > nearest[50:][None]) == 0


def test_scores_that_are_all_equal_stay_finite(rng):
    train = np.full(100, 999.0) + 1e-12 * rng.standard_normal(100)
    normalized = normalize(train, np.array([999.0, 1500.0, 700.0]), DOMAIN)[1]
    assert np.isfinite(normalized).all()
    assert list(np.argsort(normalized)) == [2, 0, 1]


def test_ranks_within_the_test_set():
    np.testing.assert_allclose(test_ranks(np.array([5.0, 1.0, 5.0, 9.0])), [0.625, 0.25, 0.625, 1.0])


def test_ranks_among_training_scores_increase_beyond_the_largest(rng):
    training = rng.standard_normal(200)
    scores = np.linspace(-30, 300, 5000)
    ranks = train_ranks(scores, training)
    assert (np.diff(ranks) > 0).all()
    np.testing.assert_allclose(train_ranks(np.sort(training), training), np.linspace(0, 1, 200), atol=1e-12)
    assert train_ranks(training[:1], training) == train_ranks(np.append(training[0], 99.0), training)[0]


@pytest.mark.parametrize("decimals", [9, 1, 0])
@pytest.mark.parametrize("count", [3, 4, 10, 41])
def test_a_training_clip_is_ranked_among_the_others(rng, count, decimals):
    training = rng.standard_normal(count).round(decimals)
    others = [np.delete(training, i) for i in range(count)]
    by_hand = [train_ranks(training[[i]], others[i])[0] for i in range(count)]
    np.testing.assert_allclose(own_ranks(training), by_hand, atol=1e-12)


def test_equal_training_scores_have_the_middle_rank():
    assert own_ranks(np.ones(7)).tolist() == train_ranks(np.ones(1), np.ones(6)).tolist() * 7


def test_the_core_shares_what_the_others_leave():
    assert weights_of({"raw": 0.7}, ["m", "f"]) == pytest.approx({"m": 0.15, "f": 0.15, "raw": 0.7})
    assert weights_of({"raw": 1.0}, ["m", "f"]) == {"raw": 1.0}


def test_fusion_by_hand():
    train = {"a": np.arange(10.0), "b": np.arange(10.0)}
    test = {"a": np.array([1.0, 2.0, 3.0, 50.0]), "b": np.array([9.0, 1.0, 2.0, 60.0])}
    weights = {"a": 0.75, "b": 0.25}
    fused = fuse(train, test, weights, ranks="test", percentile=90)
    np.testing.assert_allclose(
        fused.score, 0.75 * np.array([0.25, 0.5, 0.75, 1]) + 0.25 * np.array([0.75, 0.25, 0.5, 1])
    )
    beyond = np.log1p(1 / np.std(np.arange(9)))
    np.testing.assert_allclose(fused.training, [-beyond, *(np.arange(8) + 0.5) / 8, 1 + beyond])
    np.testing.assert_allclose(fused.threshold, np.percentile(fused.training, 90))
    assert list(fused.decision) == [0, 0, 0, 1]
    by_train = fuse(train, test, weights, ranks="train", percentile=90)
    np.testing.assert_allclose(by_train.score[:3], [1 / 12 + 0.25, 7 / 36, 11 / 36])
    assert by_train.score[3] > 1 and np.array_equal(by_train.score, by_train.level)
    assert np.array_equal(by_train.level, fused.level) and np.array_equal(by_train.decision, fused.decision)


def test_a_clip_is_judged_the_same_alone_by_train_ranks(rng):
    train = {name: rng.standard_normal(100) for name in "ab"}
    test = {name: rng.standard_normal(20) for name in "ab"}
    how = {"weights": {"a": 0.5, "b": 0.5}, "ranks": "train", "percentile": 90}
    together = fuse(train, test, **how)
    alone = fuse(train, {name: scores[:1] for name, scores in test.items()}, **how)
    assert alone.score[0] == together.score[0]


FAMILIES = {"spectrum": ["a", "b"], "network": ["c"]}


def scored(rng, train=60, test=25):
    """Normalized scores of three detectors; the last test clip is far out for c alone."""
    given = [{name: rng.standard_normal(count) for name in "abc"} for count in (train, test)]
    given[1]["c"][-1] = 30.0
    return given


@pytest.mark.parametrize(
    ("combine", "by_hand"),
    [
        ("mean", lambda r: (r[0] + r[1]) / 2),
        ("soft_maximum", lambda r: np.log((np.exp(3 * r[0]) + np.exp(3 * r[1])) / 2) / 3),
        ("log_p", lambda r: (_minus_log_p(r[0]) + _minus_log_p(r[1])) / 2),
    ],
)
def test_families_count_alike_on_the_scale_of_the_normal_clips(rng, combine, by_hand):
    train, test = scored(rng)
    fused = fuse_families(train, test, FAMILIES, combine=combine, percentile=90)
    ranks = {name: train_ranks(test[name], train[name]) for name in "abc"}
    np.testing.assert_allclose(fused.score, by_hand([(ranks["a"] + ranks["b"]) / 2, ranks["c"]]), rtol=1e-12)
    assert np.array_equal(fused.decision, fused.score > np.percentile(fused.training, 90)) and fused.decision[-1] == 1


def _minus_log_p(rank):
    inside = np.where(rank < 0, 0, np.where(rank > 1, 1, rank)) * 0.99
    return -np.log(1 - inside) + np.where(rank > 1, rank - 1, 0) + np.where(rank < 0, rank, 0)


@pytest.mark.parametrize("combine", COMBINED)
def test_a_single_clip_has_the_score_that_it_has_among_others(rng, combine):
    train, test = scored(rng)
    together = fuse_families(train, test, FAMILIES, combine=combine, percentile=90)
    for i in (0, 7, 24):
        one = {name: scores[[i]] for name, scores in test.items()}
        alone = fuse_families(train, one, FAMILIES, combine=combine, percentile=90)
        assert alone.score[0] == together.score[i] and alone.decision[0] == together.decision[i]


@pytest.mark.parametrize("combine", COMBINED)
def test_a_higher_score_of_any_member_is_a_higher_score(rng, combine):
    train, test = scored(rng)
    before = fuse_families(train, test, FAMILIES, combine=combine, percentile=90).score
    for name in "abc":
        higher = test | {name: test[name] + 0.5}
        assert (fuse_families(train, higher, FAMILIES, combine=combine, percentile=90).score > before).all()


def test_the_soft_maximum_follows_the_family_that_is_sure(rng):
    train, test = scored(rng)
    place = {}
    for combine in ("mean", "soft_maximum"):
        score = fuse_families(train, test, FAMILIES, combine=combine, percentile=90).score
        place[combine] = score[-1] - np.sort(score[:-1])[-1]
    assert place["soft_maximum"] > place["mean"] > 0


@pytest.mark.parametrize("combine", COMBINED)
def test_a_member_that_scores_all_clips_alike_changes_no_order(rng, combine):
    train, test = scored(rng)
    with_dead = [one | {"dead": np.zeros(len(one["a"]))} for one in (train, test)]
    order = np.argsort(fuse_families(train, test, FAMILIES, combine=combine, percentile=90).score)
    dead = FAMILIES | {"dead": ["dead"]}
    fused = fuse_families(*with_dead, dead, combine=combine, percentile=90)
    assert np.isfinite(fused.score).all() and np.array_equal(np.argsort(fused.score), order) and fused.decision[-1] == 1


@pytest.mark.parametrize("combine", COMBINED)
def test_decisions_flag_a_tenth_of_the_normal_clips(rng, combine):
    train, test = ({name: rng.standard_normal(count) for name in "abc"} for count in (400, 4000))
    decision = fuse_families(train, test, FAMILIES, combine=combine, percentile=90).decision
    assert 0.07 < decision.mean() < 0.13


def test_the_members_of_a_system_are_those_that_count():
    assert members_of({"weights": {"raw": 0.5, "knn": 0.0}}, ["m", "f"]) == ["f", "m", "raw"]
    assert members_of({"weights": {"raw": 1.0}}, ["m", "f"]) == ["raw"]
    assert members_of({"families": FAMILIES}, ["m", "f"]) == ["a", "b", "c"]
