"""Machines whose training clips are of one domain: one reference, everything else the same."""

import numpy as np
import pytest
from conftest import params_of

from nearfar.data.domains import DOMAINS, means, present
from nearfar.detectors.crossfit import CrossFit
from nearfar.detectors.folds import fold_of
from nearfar.detectors.methods.reconstruction import Detector as Reconstruction
from nearfar.detectors.normalization import normalize
from nearfar.errors import NearfarError

METHODS = {
    "mahalanobis": {},
    "whitened": {},
    "knn": {},
    "flow": {"components": 4, "epochs": 5},
    "predictive": {"components": 4},
}
FILES = np.array([f"{i:02d}.wav" for i in range(24)])
VIEW = np.random.default_rng(0).standard_normal((30, 40)) * np.linspace(1, 3, 40)
SETTINGS = {"pseudo_clips": 5, "reference": "domain"}


def scores(method, domain, folds=3, view=VIEW, **params):
    """The cross-fitted scores of 24 training clips, and the scores of the six others."""
    views = [view, view[..., ::-1].copy()] if method == "predictive" else [view]
    params = params_of(method, **METHODS[method] | params)
    fits = CrossFit(method, params, folds, seed=0).fit(FILES, domain, [one[:24] for one in views])
    return fits.training_scores([one[:24] for one in views]), fits.score([one[24:] for one in views])


def test_the_domains_that_are_there_keep_their_order():
    assert present(["target", "source"]) == ["source", "target"]
    assert present(["target"] * 3) == ["target"] and present(np.array(["source"])) == ["source"]
    assert means(VIEW, np.full(30, "target"), "domain").shape == (1, 40)


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("method", METHODS)
def test_the_reference_of_the_only_domain_is_that_of_all_clips(method, domain, folds):
    for own, pooled in zip(
        scores(method, np.full(24, domain), folds),
        scores(method, np.full(24, domain), folds, reference="pooled"),
        strict=True,
    ):
        assert own.ndim == 1 and np.isfinite(own).all()
        np.testing.assert_array_equal(own, pooled)


@pytest.mark.parametrize("covariance", ["diagonal", "likelihood"])
@pytest.mark.parametrize("method", ["mahalanobis", "whitened"])
def test_the_covariance_is_chosen_in_one_domain_too(method, covariance):
    training, unseen = scores(method, np.full(24, "source"), covariance=covariance)
    assert training.shape == (24,) and np.isfinite([*training, *unseen]).all()


def test_a_view_with_an_embedding_a_fold_has_one_bank():
    view = np.random.default_rng(1).standard_normal((30, 3, 8))
    training, unseen = scores("knn", np.full(24, "source"), view=view)
    fold, unit = fold_of(FILES, np.full(24, "source"), FILES, 3, 0), view / np.linalg.norm(view, axis=2, keepdims=True)
    by_hand = [1 - max(unit[i, fold[i]] @ unit[j, fold[i]] for j in np.flatnonzero(fold != fold[i])) for i in range(24)]
    np.testing.assert_allclose(training, by_hand)
    assert unseen.shape == (6,)


@pytest.mark.parametrize("reference", ["domain", "nearest"])
@pytest.mark.parametrize("domain", DOMAINS)
def test_the_only_scale_is_that_of_the_clips_there_are(domain, reference):
    train, test = np.array([1.0, 2.0, 3.0, 6.0]), np.array([3.0, 10.0])
    given = SETTINGS | {"reference": reference}
    own, unseen = normalize(train, test, np.full(4, domain), **given)
    np.testing.assert_allclose(own, (train - 3) / train.std())
    np.testing.assert_allclose(unseen, (test - 3) / train.std())


def test_equal_scores_of_one_domain_have_a_scale_all_the_same():
    own, unseen = normalize(np.full(5, 2.0), np.array([1.0, 2.0, 3.0]), np.full(5, "source"), **SETTINGS)
    assert np.isfinite([*own, *unseen]).all() and (np.diff(unseen) > 0).all()


def test_folds_are_dealt_in_the_domain_there_is_and_refused_by_its_name():
    assert (np.bincount(fold_of(FILES, np.full(24, "target"), FILES, 5, 0)) >= 4).all()
    with pytest.raises(NearfarError, match="25 folds need as many target-domain training clips, there are 24"):
        fold_of(FILES, np.full(24, "target"), FILES, 25, 0)


def test_what_the_autoencoder_leaves_has_one_distance():
    view = np.array([[4.0, 9.0], [5.0, 1.0]])
    for distance, expected in (("mse", [4, 5]), ("mahalanobis", [9, 1])):
        detector = Reconstruction(distance=distance).fit(view, domain=np.full(2, "source"))
        np.testing.assert_array_equal(detector.score(view), expected)
