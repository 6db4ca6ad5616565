"""What a plug-in may learn, and what is said of one that would lose it or scores all clips alike."""

import importlib
import sys
import textwrap

import numpy as np
import pytest

from nearfar.detectors import methods
from nearfar.detectors.crossfit import CrossFit
from nearfar.detectors.detection import detect_machine
from nearfar.detectors.folds import fold_of
from nearfar.errors import NearfarError
from nearfar.jobs.files import read_table, write_table, write_vectors

NORMALIZATION = {"pseudo_clips": 5, "reference": "domain"}
START = "import numpy as np\nfrom sklearn.neighbors import LocalOutlierFactor as LOF\n\n\nclass Detector:\n"
LOST = "which would be lost; keep what it learns in attributes ending in _"
BACK = "; keep what it learns in attributes ending in _, as numpy arrays, or numbers"
REFUSED = {
    "lof_": ("self.lof_ = LOF(novelty=True).fit(view)", "-self.lof_.score_samples(view)", "fit sets lof_, a LocalOutl"),
    "lof": ("self.lof = LOF(novelty=True).fit(view)", "-self.lof.score_samples(view)", f"fit sets lof, {LOST}"),
    "words_": ("self.words_ = np.array(['a'])", "view[:, 0]", "fit sets words_, a ndarray, which cannot be kept"),
    "list_": ("self.list_ = [1.0, 2.0]", "view[:, :2] @ self.list_", "fit sets list_, a list, which cannot be kept"),
    "none_": ("self.none_ = None", "view[:, 0]", "fit sets none_, a NoneType, which cannot be kept"),
    "long_": ("self.long_ = np.longdouble(1)", "view[:, 0]", "fit sets long_, a longdouble, which cannot be kept"),
    "mean": ("self.mean = view.mean(0)", "view @ self.mean", f"fit sets mean, {LOST}"),
    "_mean": ("self._mean = view.mean(0)", "view @ self._mean", f"fit sets _mean, {LOST}"),
    "a parameter": ("self.k = len(view)", "self.k * view[:, 0]", f"fit sets k, {LOST}"),
    "inside": ("self.made.fit(view)", "-self.made.score_samples(view)", "cannot score once read back .NotFittedError"),
    "in a list": ("self.rows.append(view)", "view @ self.rows[0][0]", "cannot score once read back .IndexError"),
    "in an array": ("self.sum += view.sum(0)", "view @ self.sum", f"gives other scores once read back{BACK}"),
    "an index_": ("self.n_ = 3", "view[:, range(self.n_)].sum(1)", "cannot score once read back .TypeError"),
}
KEPT = {
    "array": ("self.mean_ = view.mean(0)", "np.abs(view - self.mean_).sum(1)"),
    "number": ("self.n_ = len(view)", "view[:, 0] / self.n_"),
    "infinite": ("self.rest_ = float('inf')", "view[:, 0] + view[:, 1] / self.rest_"),
    "yes or no": ("self.any_ = bool((view > 0).any()); self.mask_ = view[0] > 0", "(view * self.mask_).sum(1)"),
    "nothing": ("pass", "self.k * view[:, 0]"),
    "constructor's": ("self.mean_ = view.mean(0)", "(view - self.mean_) @ self.ones"),
}


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """A function that makes a detector ``toy`` of two lines, for fit and score."""
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "nearfar.detectors.methods.toy", raising=False)

    def write(fit, score):
        made = "self.k, self.made, self.rows, self.sum, self.ones = k, LOF(novelty=True), [], np.zeros(4), np.ones(4)"
        body = (
            f"def __init__(self, k=2):\n    {made}\n\ndef fit(self, view, *, domain):\n    {fit}\n    return self\n\n"
        )
        body += f"def score(self, view):\n    return {score}\n"
        (tmp_path / "toy.py").write_text(START + textwrap.indent(body, "    "))
        importlib.invalidate_caches()
        return "toy"

    return write


def clips(train=40, test=20):
    rng = np.random.default_rng(0)
    files = np.array([f"clip_{i:02d}.wav" for i in range(train + test)])
    return files, np.array(["source", "target"] * ((train + test) // 2)), rng.standard_normal((train + test, 4))


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_file_would_lose_is_refused(plugged, case):
    fit, score, message = REFUSED[case]
    files, domain, view = clips()
    with pytest.raises(NearfarError, match=f"^toy.py: {message}") as raised:
        CrossFit(plugged(fit, score), {}, folds=2, seed=0).fit(files, domain, [view])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("case", KEPT)
def test_arrays_and_numbers_are_kept(plugged, tmp_path, case):
    files, domain, view = clips()
    fits = CrossFit(plugged(*KEPT[case]), {"k": 3}, folds=2, seed=0).fit(files, domain, [view])
    fits.write(tmp_path / "fits.safetensors", fits.training_scores([view]), "a")
    again = CrossFit.read(tmp_path / "fits.safetensors").score([view])
    np.testing.assert_allclose(again, fits.score([view]), rtol=1e-12)


def test_what_is_set_after_the_fit_is_not_written_either(tmp_path):
    files, domain, view = clips()
    fits = CrossFit("mahalanobis", {"covariance": "ledoit_wolf", "reference": "domain"}, folds=2, seed=0)
    fits.fit(files, domain, [view]).fitted[1].model_ = object()
    with pytest.raises(NearfarError, match="mahalanobis.py: fit sets model_, a object, which cannot be kept"):
        fits.write(tmp_path / "fits.safetensors", np.zeros(60), "a")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def detect(tmp_path):
    """A function that detects with a method on a view (clips, dims) of 40 training clips and the test clips after."""

    def run(view, method="mahalanobis", train=40, folds=2, **params):
        params = params or {"covariance": "ledoit_wolf", "reference": "domain"}
        files, domain, _ = clips(train, len(view) - train + (len(view) - train) % 2)
        files, domain = files[: len(view)], domain[: len(view)]
        table = {"file": files, "path": files, "recording": files, "domain": domain, "split": ["train"] * train}
        table["split"] += ["test"] * (len(view) - train)
        rest = {"machine": "fan", "section": "00", "label": "normal", "attributes": "", "frames": 16000}
        write_table(tmp_path / "clips", table | {name: [value] * len(view) for name, value in rest.items()})
        write_vectors(tmp_path / "view", files, view)
        outputs = {name: tmp_path / name for name in ("fits", "scores", "normalized")}
        about = {
            "machine": "fan",
            "detector": "d",
            "folds": folds,
            "few": "refuse",
            "seed": 0,
            "normalization": NORMALIZATION,
        }
        about |= {"made": f"{method} {params} {folds}"}
        detect_machine([tmp_path / "clips"], [tmp_path / "view"], outputs, method=method, params=params, **about)
        return read_table(outputs["scores"])

    return run


def test_one_vector_for_all_clips_is_blamed_on_clips_or_backbone(detect):
    one = np.ones((60, 4))
    with pytest.raises(NearfarError, match="^fan: detectors.d: .*view: the same vector for all training .*backbone"):
        detect(one)
    one[1::2] = 2  # a clip copied for all of source, another one for all of target
    with pytest.raises(NearfarError, match="no copies of one clip"):
        detect(one)


def test_copies_of_a_test_clip_are_named(detect):
    view = clips()[2]
    view[40:] = view[40]
    with pytest.raises(NearfarError, match=r"detectors.d: gives all 20 test clips the score \[.*equal too; check that"):
        detect(view)


def test_a_method_that_takes_no_notice_of_clips_is_named(detect, plugged):
    with pytest.raises(
        NearfarError, match="detectors.d: gives all 20 test clips the score 2.0, .*differ; check params"
    ):
        detect(clips()[2], plugged("pass", "np.full(len(view), 2.0)"), k=1)


def test_a_single_test_clip_may_have_any_score(detect):
    assert len(detect(clips()[2][:41])["source"]) == 41


def test_the_literal_pseudo_inverse_may_score_its_training_clips_alike(detect):
    """By √(n−1): of their own fit, with one fold. Other clips it does tell apart."""
    view = np.random.default_rng(1).standard_normal((60, 200))
    scores = detect(view, folds=1, covariance="empirical", reference="pooled")["score"]
    np.testing.assert_allclose(scores[:40], 39**0.5)
    assert len(np.unique(scores[40:].round(6))) == 20


def mean_distance(view, files, domain, folds, seed):
    """Scores by hand: fold k is fitted on embeddings k, its held-out clips are scored by theirs, others by the mean."""
    fold, train = fold_of(files, domain, files, folds, seed), len(files)
    held_out, unseen = np.empty(train), []
    for k in range(folds):
        mean = view[:train, k][fold != k].mean(0)
        distances = np.abs(view[:, k] - mean).sum(1)
        held_out[fold == k] = distances[:train][fold == k]
        unseen.append(distances[train:])
    return held_out, np.mean(unseen, axis=0)


@pytest.mark.parametrize("folds", [2, 3])
def test_a_view_with_an_embedding_a_fold_is_fitted_and_scored_by_fold(plugged, folds, tmp_path):
    files, domain, _ = clips()
    view = np.random.default_rng(1).standard_normal((60, folds, 4))
    method = plugged("self.mean_ = view.mean(0)", "np.abs(view - self.mean_).sum(1)")
    fits = CrossFit(method, {}, folds, seed=5).fit(files[:40], domain[:40], [view[:40]])
    held_out, unseen = mean_distance(view, files[:40], domain[:40], folds, 5)
    np.testing.assert_allclose(fits.training_scores([view[:40]]), held_out)
    np.testing.assert_allclose(fits.score([view[40:]]), unseen)
    fits.write(tmp_path / "fits", held_out, "a")
    np.testing.assert_allclose(CrossFit.read(tmp_path / "fits").score([view[40:]]), unseen)


def test_one_embedding_repeated_a_fold_scores_as_without_a_fold_axis():
    files, domain, view = clips()
    params = {"covariance": "ledoit_wolf", "reference": "domain"}
    scores = [
        CrossFit("mahalanobis", params, 3, seed=0).fit(files, domain, [one]).training_scores([one])
        for one in (view, np.repeat(view[:, None], 3, axis=1))
    ]
    np.testing.assert_allclose(*scores)


@pytest.mark.parametrize("folded", [(0,), (1,), (0, 1)])
def test_views_with_and_without_a_fold_axis_go_together(folded):
    files, domain, near = clips()
    plain = [near, np.random.default_rng(2).standard_normal((60, 4))]
    mixed = [np.repeat(view[:, None], 2, axis=1) if i in folded else view for i, view in enumerate(plain)]
    params = {"components": 3, "whiten": True, "reference": "domain"}
    given = [CrossFit("predictive", params, 2, seed=0).fit(files, domain, views) for views in (plain, mixed)]
    np.testing.assert_allclose(*(fits.score(views) for fits, views in zip(given, (plain, mixed), strict=True)))


def test_what_leaves_one_out_by_itself_is_fitted_by_folds_where_the_view_has_them():
    files, domain, _ = clips()
    view = np.random.default_rng(1).standard_normal((60, 3, 4))
    fits = CrossFit("knn", {"reference": "pooled"}, 3, seed=0).fit(files, domain, [view])
    fold = fold_of(files, domain, files, 3, 0)
    unit = view / np.linalg.norm(view, axis=2, keepdims=True)
    by_hand = [1 - max(unit[i, fold[i]] @ unit[j, fold[i]] for j in np.flatnonzero(fold != fold[i])) for i in range(60)]
    np.testing.assert_allclose(fits.training_scores([view]), by_hand)
    assert len(CrossFit("knn", {"reference": "pooled"}, 3, seed=0).fit(files, domain, [view[:, 0]]).fitted) == 1


@pytest.mark.parametrize("folds", [1, 2, 5])
def test_other_folds_than_the_views_are_refused_naming_both(folds):
    files, domain, plain = clips()
    fits = CrossFit("knn", {"reference": "pooled"}, folds, seed=0)
    with pytest.raises(NearfarError, match=f"^folds: {folds}, but a view has an embedding for each of 3 folds; give"):
        fits.fit(files, domain, [plain, np.zeros((60, 3, 4))])


def test_a_detector_on_a_view_with_folds_runs_from_file_to_file(detect):
    view = np.random.default_rng(3).standard_normal((60, 2, 4))
    scores = detect(view, "knn", reference="pooled")["score"]
    assert len(scores) == 60 and (scores > 1e-6).all()  # no clip is its own neighbour
    view[:40] = view[0]
    with pytest.raises(NearfarError, match="view: the same vector for all training"):
        detect(view, "knn", reference="pooled")
