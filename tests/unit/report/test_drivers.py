import numpy as np
import pytest

from nearfar.report.charts import histogram, line, share_above
from nearfar.report.drivers import drops
from nearfar.report.labels import roc

WEIGHTED = {"weights": {"a": 0.75, "b": 0.25}, "ranks": "train"}
FAMILIES = {"families": {"one": ["a", "b"], "two": ["c"]}, "combine": "mean"}


def test_a_drop_is_what_the_score_loses_without_a_detectors_word():
    assert drops({"a": 1.5, "b": 0.5}, WEIGHTED) == pytest.approx({"a": 0.75, "b": 0.0})
    assert drops({"a": 1.5, "b": 0.5, "c": 0.1}, FAMILIES) == pytest.approx({"a": 0.25, "b": 0.0, "c": -0.2})


def test_the_curve_ends_where_everything_is_an_alarm():
    points = roc(np.array([3.0, 2.0, 2.0, 1.0]), np.array([True, True, False, False]))
    assert points == [(0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0)]


def test_a_histogram_has_a_group_for_each_label_that_is_there():
    rows = [{"score": 1.0, "label": "normal"}, {"score": 2.0, "label": "anomaly"}]
    drawn = histogram([0.0, 1.0], rows)
    assert set(drawn["bars"]) == {"training", "normal", "anomaly"} and (drawn["low"], drawn["high"]) == (0.0, 2.0)
    assert set(histogram([0.5, 0.5], [{"score": 0.5, "label": None}])["bars"]) == {"training", "test"}


def test_a_line_fills_its_box():
    assert line([0.0, 5.0, 10.0], [1.0, 2.0, 3.0], 1.0, 3.0) == "0.0,100.0 50.0,50.0 100.0,0.0"
    assert line([0.0], [1.0], 0.0, 1.0) == "0.0,0.0"


def test_scores_at_the_threshold_are_not_above_it():
    assert share_above([1.0, 2.0, 3.0], 2.0) == pytest.approx(1 / 3)
