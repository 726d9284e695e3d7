"""Groups, intervals, ranks: what an evaluation says besides its headline."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.evaluation import metrics
from core.evaluation.bootstrap import intervals
from core.evaluation.figures import to_json
from core.evaluation.groups import age_band, by_attribute
from training.views import views


def test_intervals_cover_the_figure_and_widen_with_groups() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(generator.integers(0, 2, 100), 5)  # 100 groups of five images that are alike
    probabilities = np.repeat(generator.dirichlet((1, 1), 100), 5, axis=0)
    figures = {"accuracy": metrics.accuracy}
    by_image = intervals(labels, probabilities, [str(i) for i in range(500)], figures, rounds=300)["accuracy"]
    by_group = intervals(labels, probabilities, [str(i // 5) for i in range(500)], figures, rounds=300)["accuracy"]
    for low, high in (by_image, by_group):
        assert low < metrics.accuracy(labels, probabilities) < high
    assert by_group[1] - by_group[0] > 1.5 * (by_image[1] - by_image[0])
    assert by_group == intervals(labels, probabilities, [str(i // 5) for i in range(500)], figures, rounds=300)["accuracy"]


AGES = {"0.0": "00 to 29", "29": "00 to 29", "30": "30 to 44", "85.0": "75 and over", "": "unknown", "x": "unknown"}


@pytest.mark.parametrize(("age", "band"), AGES.items())
def test_age_bands(age: str, band: str) -> None:
    assert age_band(age) == band


def test_groups_that_are_too_small_or_unknown_are_left_out() -> None:
    labels = np.array([0, 1] * 20)
    probabilities = np.eye(2)[labels] * 0.8 + 0.1
    attributes = [{"sex": "male", "age": ""}] * 30 + [{"sex": "female", "age": ""}] * 10
    table = by_attribute(labels, probabilities, attributes=attributes, thresholds={"sensitivity_90": 0.5}, malignant=(0,))
    assert list(table) == ["sex"]
    assert list(table["sex"]) == ["male"]
    assert table["sex"]["male"]["sensitivity_90_sensitivity"] == 1.0


def test_top_k_ranks_labels() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    labels = np.array([0, 1, 2])
    assert [metrics.top_k_accuracy(labels, probabilities, k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_class_figures_by_hand() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.1, 0.9, 0.0], [0.3, 0.7, 0.0]])
    first, second, third = metrics.class_figures(labels, probabilities)
    assert (first["images"], first["precision"], first["recall"], first["specificity"]) == (2, 1.0, 0.5, 1.0)
    assert second["f1"] == pytest.approx(0.8)
    assert np.isnan(third["recall"])
    assert metrics.macro_averages([first, second, third])["recall"] == 0.75


def test_json_has_null_where_a_figure_does_not_exist() -> None:
    assert json.loads(to_json({"a": [float("nan"), 1.0], "b": (2,)})) == {"a": [None, 1.0], "b": [2]}


def test_views_are_the_symmetries() -> None:
    square = np.arange(2 * 3 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3, 3)
    assert len({view.tobytes() for view in views(square)}) == 8
    wide = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    found = views(wide)
    assert len({view.tobytes() for view in found}) == 4
    assert all(view.shape == wide.shape for view in found)
    np.testing.assert_array_equal(found[0], wide)
