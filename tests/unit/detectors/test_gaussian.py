"""What the covariance shrinks towards, chosen by likelihood, and the nearest neighbour in whitened space."""

import json

import numpy as np
import pytest
from conftest import made, params_of
from safetensors import safe_open
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf

from nearfar.detectors.covariance import log_density
from nearfar.detectors.crossfit import CrossFit
from nearfar.detectors.gaussian import STILL, deviations, held_out_likelihoods

SIZES = [(90, 12), (40, 60)]  # clips and dims: more of the one, more of the other


def clips(n, dims, target=8, scales=1.0, seed=0):
    """Return domain and view of normal clips that share a few causes; ``scales`` are the features' units."""
    rng = np.random.default_rng(seed)
    causes = np.random.default_rng(9).standard_normal((5, dims))
    domain = np.array(["source"] * (n - target) + ["target"] * target)
    view = 0.3 * rng.standard_normal((n, 5)) @ causes + rng.standard_normal((n, dims))
    return domain, (view + 2.0 * (domain == "target")[:, None]) * scales


def units(dims):
    """Units that differ by a factor of a thousand."""
    return np.random.default_rng(1).permutation(np.logspace(-1.5, 1.5, dims))


def within(view, domain, rows=None):
    """Return the view less its own domain's mean over ``rows``."""
    rows = np.ones(len(view), bool) if rows is None else rows
    means = {d: view[rows & (domain == d)].mean(0) for d in ("source", "target")}
    return view - np.array([means[d] for d in domain])


@pytest.mark.parametrize(("n", "dims"), SIZES)
def test_log_density_is_scipys_under_sklearns_covariance(n, dims):
    seen, fresh = clips(n, dims)[1], clips(7, dims, target=3, seed=5)[1]
    dense = LedoitWolf(assume_centered=True).fit(seen).covariance_
    np.testing.assert_allclose(log_density(fresh, seen), multivariate_normal(cov=dense).logpdf(fresh), rtol=1e-8)


def test_log_density_of_clips_that_nothing_is_shrunk_for_and_that_span_too_little():
    seen = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert np.isneginf(log_density(np.ones((3, 2)), seen)).all()


@pytest.mark.parametrize(("n", "dims"), SIZES)
@pytest.mark.parametrize("reference", ["domain", "pooled"])
def test_held_out_likelihoods_are_densities_of_the_same_features(n, dims, reference):
    domain, view = clips(n, dims, scales=units(dims))
    fold = np.concatenate([np.arange(n - 8) % 5, np.arange(8) % 5])
    expected = np.zeros(2)
    for k in range(5):
        seen = fold != k
        centred = within(view, domain, seen) if reference == "domain" else view - view[seen].mean(0)
        scale = np.sqrt((centred[seen] ** 2).mean(0))
        scale = np.maximum(scale, STILL * np.sqrt((scale**2).mean()))
        for i, by in enumerate((np.ones(dims), scale)):
            dense = LedoitWolf(assume_centered=True).fit(centred[seen] / by).covariance_ * np.outer(by, by)
            expected[i] += multivariate_normal(cov=dense, allow_singular=False).logpdf(centred[~seen]).sum() / n
    np.testing.assert_allclose(held_out_likelihoods(view, domain, reference), expected, rtol=1e-7)


@pytest.mark.parametrize(("n", "dims"), SIZES)
@pytest.mark.parametrize("method", ["mahalanobis", "whitened"])
def test_likelihood_takes_the_better_form_and_gives_its_scores(method, n, dims):
    fresh = clips(9, dims, target=4, seed=6)[1]
    for scales, form in ((units(dims), "diagonal"), (np.ones(dims), "ledoit_wolf")):
        domain, view = clips(n, dims, scales=scales)
        if form == "ledoit_wolf":  # true variances are equal: to estimate each costs more than it brings
            view = np.random.default_rng(3).standard_normal((n, dims))
        chosen = made(method, covariance="likelihood").fit(view, domain=domain)
        wanted = made(method, covariance=form).fit(view, domain=domain)
        assert chosen.notes()["covariance"] == form and wanted.notes() == {}
        assert hasattr(chosen, "scale_") == (form == "diagonal")
        np.testing.assert_array_equal(chosen.score(fresh * scales), wanted.score(fresh * scales))


def test_diagonal_does_not_depend_on_the_units_of_features():
    domain, view = clips(60, 20)
    by, fresh = units(20)[::-1] ** 0.5, clips(9, 20, target=4, seed=6)[1]  # far from the floor
    for method in ("mahalanobis", "whitened"):
        one = made(method, covariance="diagonal").fit(view, domain=domain).score(fresh)
        other = made(method, covariance="diagonal").fit(view * by, domain=domain).score(fresh * by)
        np.testing.assert_allclose(one, other, rtol=1e-4)
        plain = made(method, covariance="ledoit_wolf").fit(view * by, domain=domain).score(fresh * by)
        assert not np.allclose(one, plain, rtol=1e-2)


@pytest.mark.parametrize("method", ["mahalanobis", "whitened"])
def test_a_feature_that_stands_still_does_not_rule(method):
    domain, view = clips(60, 20)
    view[:, 3] = 7.0
    assert deviations(within(view, domain))[3] == pytest.approx(1e-3 * np.sqrt((within(view, domain) ** 2).mean()))
    detector = made(method, covariance="likelihood").fit(view, domain=domain)
    assert np.isfinite(detector.likelihoods_).all() and np.isfinite(detector.score(view)).all()


def test_a_clip_alone_in_its_domain_is_never_held_out():
    domain, view = clips(30, 8, target=1)
    assert np.isfinite(held_out_likelihoods(view, domain, "domain")).all()


@pytest.mark.parametrize("method", ["mahalanobis", "whitened"])
def test_the_choice_stands_in_the_fit(tmp_path, method):
    domain, view = clips(60, 20, scales=units(20))
    files = np.array([f"{i:03d}" for i in range(60)])
    folds = 1 if method == "whitened" else 3
    for covariance in ("likelihood", "ledoit_wolf"):
        fits = CrossFit(method, params_of(method, covariance=covariance), 3, seed=0).fit(files, domain, [view])
        fits.write(tmp_path / "fit", fits.training_scores([view]), "a")
        with safe_open(tmp_path / "fit", framework="numpy") as file:
            about, names = json.loads(file.metadata()["nearfar"]), set(file.keys())
        assert about["fitted"] == folds and ("0/likelihoods_" in names) == (covariance == "likelihood")
        if covariance == "likelihood":
            assert [one["covariance"] for one in about["chosen"]] == ["diagonal"] * folds and "0/scale_" in names
            known = about["chosen"][0]["log_likelihoods"]
            assert known["diagonal"] > known["ledoit_wolf"]
        else:
            assert "chosen" not in about
        np.testing.assert_array_equal(CrossFit.read(tmp_path / "fit").score([view]), fits.score([view]))


# --- the whitened neighbour


def nearest(fresh, bank, precision):
    apart = fresh[:, None] - bank
    return np.sqrt(np.einsum("abi,ij,abj->ab", apart, precision, apart).min(axis=1))


@pytest.mark.parametrize(("n", "dims"), SIZES)
def test_the_whitened_neighbour_by_hand(n, dims):
    domain, view = clips(n, dims)
    fresh = clips(9, dims, target=4, seed=7)[1]
    precision = LedoitWolf(assume_centered=True).fit(within(view, domain)).precision_
    score = made("whitened", covariance="ledoit_wolf").fit(view, domain=domain).score(fresh)
    for column, d in enumerate(("source", "target")):
        np.testing.assert_allclose(score[:, column], nearest(fresh, view[domain == d], precision), rtol=1e-5)
    pooled = made("whitened", covariance="ledoit_wolf", reference="pooled").fit(view, domain=domain).score(fresh)
    precision = LedoitWolf(assume_centered=True).fit(view - view.mean(0)).precision_
    np.testing.assert_allclose(pooled, nearest(fresh, view, precision), rtol=1e-5)


@pytest.mark.parametrize(("n", "dims"), SIZES)
@pytest.mark.parametrize("reference", ["domain", "pooled"])
@pytest.mark.parametrize("covariance", ["ledoit_wolf", "diagonal"])
def test_leaving_one_out_is_a_fit_without_it_at_the_same_shrinkage(n, dims, reference, covariance):
    domain, view = clips(n, dims)
    detector = made("whitened", covariance=covariance, reference=reference).fit(view, domain=domain)
    scores = detector.leave_one_out().reshape(n, -1)
    view = view / getattr(detector, "scale_", 1.0)
    if reference == "pooled":
        domain = np.array(["source"] * n)
    centres = {d: view[domain == d].mean(0) for d in np.unique(domain)}
    centred = view - np.array([centres[d] for d in domain])
    shrunk = LedoitWolf(assume_centered=True).fit(centred)
    level = shrunk.shrinkage_ * np.mean(centred**2) * n / (n - 1)
    for i in (0, n // 2, n - 1):
        rest = np.arange(n) != i
        kept = {d: view[rest & (domain == d)] for d in centres}
        scatter = sum((part - part.mean(0)).T @ (part - part.mean(0)) for part in kept.values())
        dense = (1 - shrunk.shrinkage_) * scatter / (n - 1) + level * np.eye(dims)
        expected = [nearest(view[[i]], kept[d], np.linalg.inv(dense))[0] for d in centres]
        np.testing.assert_allclose(scores[i], expected, rtol=1e-4)


def test_a_copy_of_a_training_clip_scores_nothing_and_a_training_clip_does_not():
    domain, view = clips(60, 20)
    detector = made("whitened").fit(view, domain=domain)
    assert (detector.score(view).min(axis=1) < 1e-2).all() and (detector.leave_one_out().min(axis=1) > 1).all()
