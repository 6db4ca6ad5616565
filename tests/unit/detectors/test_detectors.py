"""The detectors, one by one, and what method.md claims of them."""

import importlib

import numpy as np
import pytest
from conftest import CONFIG, made, params_of
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from nearfar.detectors import covariance
from nearfar.detectors.crossfit import CrossFit
from nearfar.detectors.folds import fold_of
from nearfar.detectors.methods import predictive
from nearfar.errors import NearfarError


def clips(n=120, dims=20, target=12, shift=2.0, seed=0):
    """Return files, domain and a view of correlated normal clips whose target is shifted."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).standard_normal((dims, dims)) * np.linspace(0.2, 2, dims)
    domain = np.array(["source"] * (n - target) + ["target"] * target)
    view = rng.standard_normal((n, dims)) @ mixing + shift * (domain == "target")[:, None]
    files = np.array([f"{d}_{i:04d}.wav" for i, d in enumerate(domain)])
    return files, domain, view


@pytest.mark.parametrize(("n", "dims"), [(200, 10), (60, 300)])
def test_ledoit_wolf_is_sklearns(n, dims):
    x = np.random.default_rng(1).standard_normal((n, dims)) * np.linspace(1, 3, dims)
    reference = LedoitWolf(assume_centered=True).fit(x)
    assert covariance.shrinkage(x)[0] == pytest.approx(reference.shrinkage_, rel=1e-10)
    fresh = np.random.default_rng(2).standard_normal((7, dims))
    expected = np.sqrt(np.einsum("ij,jk,ik->i", fresh, reference.precision_, fresh))
    np.testing.assert_allclose(covariance.distance(fresh, *covariance.precision(x, "ledoit_wolf")), expected, rtol=1e-5)


def test_mahalanobis_to_each_domain_under_one_covariance():
    _, domain, view = clips()
    target = domain == "target"
    centred = np.where(target[:, None], view - view[target].mean(0), view - view[~target].mean(0))
    precision = LedoitWolf(assume_centered=True).fit(centred).precision_
    for column, mean in enumerate((view[~target].mean(0), view[target].mean(0))):
        expected = np.sqrt(np.einsum("ij,jk,ik->i", view - mean, precision, view - mean))
        score = made("mahalanobis").fit(view, domain=domain).score(view)[:, column]
        np.testing.assert_allclose(score, expected, rtol=1e-5)


def test_pseudo_inverse_scores_every_training_clip_n_minus_1():
    _, domain, view = clips(n=50, dims=200, target=5)
    detector = made("mahalanobis", covariance="empirical", reference="pooled").fit(view, domain=domain)
    np.testing.assert_allclose(detector.score(view) ** 2, 49, rtol=1e-5)


def test_knn_by_hand():
    view = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
    domain = np.array(["source", "source", "target", "target"])
    detector = made("knn").fit(view, domain=domain)
    half = 1 - np.sqrt(0.5)
    np.testing.assert_allclose(detector.score(np.array([[2.0, 0.0]])), [[0.0, half]], atol=1e-12)
    np.testing.assert_allclose(
        detector.leave_one_out(), [[1.0, half], [1.0, half], [half, 1 + np.sqrt(0.5)], [1.0, 1 + np.sqrt(0.5)]]
    )
    pooled = made("knn", reference="pooled").fit(view, domain=domain)
    np.testing.assert_allclose(pooled.score(np.array([[2.0, 0.0]])), [0.0], atol=1e-12)


def test_knn_leaves_one_out_exactly():
    files, domain, view = clips(n=40)
    fast = made("knn").fit(view, domain=domain).leave_one_out()
    for i in (0, 17, 39):
        rest = np.arange(40) != i
        slow = made("knn").fit(view[rest], domain=domain[rest]).score(view[[i]])
        np.testing.assert_allclose(fast[i], slow[0], rtol=1e-10)


def test_predictive_hears_a_changed_path_and_not_a_changed_source():
    rng = np.random.default_rng(3)
    path = rng.standard_normal((30, 30)) / 5
    near = rng.standard_normal((300, 30))
    far = near @ path + 0.1 * rng.standard_normal((300, 30))
    domain = np.array(["source"] * 280 + ["target"] * 20)
    detector = made("predictive", components=30).fit(near, far, domain=domain)
    fresh = rng.standard_normal((200, 30))
    noise = 0.1 * rng.standard_normal((200, 30))
    same = detector.score(fresh, fresh @ path + noise)[:, 0]
    other = detector.score(fresh, fresh @ (path * rng.uniform(0.5, 1.5, path.shape)) + noise)[:, 0]
    assert np.mean(other[:, None] > same[None]) > 0.9


def test_ridge_strength_minimises_the_leave_one_out_like_error():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((40, 30))
    y = x[:, :1] @ rng.standard_normal((1, 30)) + 3 * rng.standard_normal((40, 30))
    weights, degrees = predictive._ridge(x, y, 40)
    fresh = rng.standard_normal((500, 30))
    truth = fresh[:, :1] @ np.linalg.lstsq(x[:, :1], y, rcond=None)[0]
    plain = np.linalg.lstsq(x, y, rcond=None)[0]
    assert np.mean((fresh @ weights - truth) ** 2) < np.mean((fresh @ plain - truth) ** 2)
    assert 0 < degrees < 30


def test_principal_is_sklearns():
    x = np.random.default_rng(5).standard_normal((50, 80)) * np.linspace(3, 1, 80)
    x -= x.mean(0)
    basis, variances = covariance.principal(x, 5)
    reference = PCA(5).fit(x)
    np.testing.assert_allclose(np.abs(np.sum(basis * reference.components_, axis=1)), 1, rtol=1e-8)
    np.testing.assert_allclose(variances * 50 / 49, reference.explained_variance_, rtol=1e-8)


def flow_for(**settings):
    return made("flow", **{"components": 6, "epochs": 60, "batch": 64, "seed": 1} | settings)


@pytest.mark.slow
def test_flow_is_a_density():
    """Its likelihood integrates to one: importance sampling with the Gaussian it starts from."""
    _, domain, view = clips(n=400, dims=6)
    detector = flow_for(components=4).fit(view, domain=domain)
    rng = np.random.default_rng(6)
    z = 1.5 * rng.standard_normal((200000, 4))
    inverse = z * detector.spread_
    log_p = -detector._surprise(inverse @ detector.basis_)
    log_q = -0.5 * np.sum((z / 1.5) ** 2, axis=1) - 4 * np.log(1.5 * np.sqrt(2 * np.pi))
    assert np.mean(np.exp(log_p - log_q)) == pytest.approx(1, abs=0.03)


@pytest.mark.slow
def test_flow_learns_what_a_gaussian_cannot():
    rng = np.random.default_rng(7)

    def ring(n):
        angle = rng.uniform(0, 2 * np.pi, n)
        flat = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (3 + 0.2 * rng.standard_normal((n, 1)))
        return np.hstack([flat, rng.standard_normal((n, 2))])

    domain = np.array(["source"] * 780 + ["target"] * 20)
    detector = flow_for(components=4, epochs=120, patience=30).fit(ring(800), domain=domain)
    centre = np.hstack([np.zeros((50, 2)), rng.standard_normal((50, 2))])
    assert np.mean(detector.score(centre)[:, 0][:, None] > detector.score(ring(50))[:, 0][None]) > 0.8


def test_flow_depends_on_its_seed_only():
    _, domain, view = clips(n=80)
    first, again, other = (
        flow_for(seed=s, epochs=5, early_stopping=False).fit(view, domain=domain).score(view) for s in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_flow_stops_early_and_literally_overfits():
    _, domain, view = clips(n=80, dims=20)
    fresh = clips(n=80, dims=20, seed=8)[2]
    wary, literal = (
        flow_for(components=16, epochs=200, early_stopping=early).fit(view, domain=domain).score(fresh)[:, 0].mean()
        for early in (True, False)
    )
    assert wary < literal


def test_flow_refuses_a_loss_that_is_not_finite():
    _, domain, view = clips(n=80)
    with pytest.raises(NearfarError, match="lower params.lr"):
        flow_for(lr=1e18, early_stopping=False, epochs=20).fit(view, domain=domain)


METHODS = {
    "mahalanobis": params_of("mahalanobis"),
    "whitened": params_of("whitened"),
    "knn": params_of("knn"),
    "flow": params_of("flow", components=8, epochs=20),
    "predictive": params_of("predictive", components=12),
}


@pytest.mark.parametrize("method", METHODS)
def test_cross_fitted_scores_flag_a_tenth_of_unseen_normals(method):
    """At the 90th percentile of the cross-fitted training scores; in-sample scores flag far more."""
    files, domain, view = clips(n=600, dims=40, target=60, shift=0.0)
    fresh = clips(n=2000, dims=40, seed=11)[2]
    views, unseen = ([view, view[:, ::-1]], [fresh, fresh[:, ::-1]]) if method == "predictive" else ([view], [fresh])
    rates = {}
    for folds in (5, 1):
        fits = CrossFit(method, METHODS[method], folds, seed=0).fit(files, domain, views)
        training, scores = fits.training_scores(views).min(axis=1), fits.score(unseen).min(axis=1)
        rates[folds] = np.mean(scores > np.percentile(training, 90))
    print(f"{method}: cross-fitted {rates[5]:.3f}, in-sample {rates[1]:.3f}")
    assert 0.05 < rates[5] < 0.15
    assert rates[1] > rates[5] or method == "flow"


@pytest.mark.parametrize("method", METHODS)
def test_order_of_clips_changes_no_score(method):
    files, domain, view = clips(n=80)
    views = [view, view[:, ::-1].copy()] if method == "predictive" else [view]
    shuffled = np.random.default_rng(0).permutation(len(files))
    results = []
    for order in (np.arange(len(files)), shuffled):
        given = [v[order] for v in views]
        fits = CrossFit(method, METHODS[method], folds=4, seed=3).fit(files[order], domain[order], given)
        results.append((fits.training_scores(given)[np.argsort(files[order])], fits.score(views)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-9)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_learned_state_is_all_there_is(method, tmp_path):
    files, domain, view = clips(n=60)
    views = [view, view] if method == "predictive" else [view]
    fits = CrossFit(method, METHODS[method], folds=3, seed=0).fit(files, domain, views)
    fits.write(tmp_path / "fits.safetensors", fits.training_scores(views), "a")
    again = CrossFit.read(tmp_path / "fits.safetensors")
    np.testing.assert_array_equal(fits.score(views), again.score(views))
    np.testing.assert_array_equal(fits.training_scores(views), again.trained)


def test_folds_hold_both_domains_and_follow_the_names():
    files, domain, _ = clips(n=53, target=7)
    fold = fold_of(files, domain, files, 5, seed=0)
    for k in range(5):
        assert {*domain[fold == k]} == {"source", "target"}
    back = np.arange(53)[::-1]
    assert np.array_equal(fold_of(files[back], domain[back], files[back], 5, seed=0), fold[back])
    with pytest.raises(NearfarError, match="there are 7; lower folds"):
        fold_of(files, domain, files, 8, seed=0)


def test_too_few_clips_for_the_components():
    _, domain, view = clips(n=30)
    for detector in (made("flow", components=64), made("predictive", components=64)):
        views = [view] * (1 + isinstance(detector, predictive.Detector))
        with pytest.raises(NearfarError, match="set it to at most 20"):
            detector.fit(*views, domain=domain)


def gained_views(feature, channel, gain):
    from conftest import noise

    extract = importlib.import_module(f"nearfar.features.{feature}").extractor(**CONFIG["features"][feature])
    return np.stack([extract((gain * noise(("gain", i))).astype(np.float32), channel) for i in range(40)])


@pytest.mark.parametrize(
    ("feature", "channel"), [("logmel", "near"), ("spectrum", "near"), ("modulation", "near"), ("rtf", "pair")]
)
def test_a_gain_on_all_clips_changes_no_score(feature, channel):
    domain = np.array(["source"] * 30 + ["target"] * 10)
    quiet, loud = (
        made("mahalanobis").fit(view, domain=domain).score(view)
        for view in (gained_views(feature, channel, gain) for gain in (1.0, 0.03))
    )
    np.testing.assert_allclose(quiet, loud, rtol=2e-3)
