"""What a plug-in may learn, and what is said of one that would lose it or scores all clips alike."""

import importlib
import sys
import textwrap

import numpy as np
import pytest

from nearfar.detectors import methods
from nearfar.detectors.crossfit import CrossFit
from nearfar.detectors.detection import detect_machine
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
    fits.write(tmp_path / "fits.safetensors")
    again = CrossFit.read(tmp_path / "fits.safetensors").score([view])
    np.testing.assert_allclose(again, fits.score([view]), rtol=1e-12)


def test_what_is_set_after_the_fit_is_not_written_either(tmp_path):
    files, domain, view = clips()
    fits = CrossFit("mahalanobis", {"covariance": "ledoit_wolf", "reference": "domain"}, folds=2, seed=0)
    fits.fit(files, domain, [view]).fitted[1].model_ = object()
    with pytest.raises(NearfarError, match="mahalanobis.py: fit sets model_, a object, which cannot be kept"):
        fits.write(tmp_path / "fits.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def detect(tmp_path):
    """A function that detects with a method on a view (clips, dims) of 40 training clips and the test clips after."""

    def run(view, method="mahalanobis", train=40, folds=2, **params):
        params = params or {"covariance": "ledoit_wolf", "reference": "domain"}
        files, domain, _ = clips(train, len(view) - train + (len(view) - train) % 2)
        files, domain = files[: len(view)], domain[: len(view)]
        table = {"file": files, "path": files, "domain": domain, "split": ["train"] * train}
        table["split"] += ["test"] * (len(view) - train)
        rest = {"machine": "fan", "section": "00", "label": "normal", "attributes": "", "frames": 16000}
        write_table(tmp_path / "clips", table | {name: [value] * len(view) for name, value in rest.items()})
        write_vectors(tmp_path / "view", files, view)
        outputs = {name: tmp_path / name for name in ("fits", "scores", "normalized")}
        about = {"machine": "fan", "detector": "d", "folds": folds, "seed": 0, "normalization": NORMALIZATION}
        detect_machine(tmp_path / "clips", [tmp_path / "view"], outputs, method=method, params=params, **about)
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
