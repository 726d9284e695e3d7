"""Entropy over its greatest possible value."""

from __future__ import annotations

import numpy as np
import pytest

from core.uncertainty import measure_uncertainty


def of(*row: float, multi_label: bool = False) -> float:
    return float(measure_uncertainty(np.array([row], np.float32), multi_label=multi_label)[0])


def test_certain_is_0_and_all_alike_is_1() -> None:
    assert of(1, 0, 0) == 0
    assert of(*[1 / 7] * 7) == pytest.approx(1)
    assert of(0.5, 0.5) == pytest.approx(1)
    assert 0 < of(0.9, 0.1) < of(0.6, 0.4) < 1


def test_it_is_the_entropy() -> None:
    assert of(0.7, 0.2, 0.1) == pytest.approx(
        -(0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1)) / np.log(3), abs=1e-6
    )


def test_of_several_labels_the_least_sure_one_counts() -> None:
    assert of(1, 1, 0, multi_label=True) == 0, "sure of three labels, two of which are true"
    assert of(0.999, 0.001, 0.5, multi_label=True) == pytest.approx(1)
    assert of(0.9, 0.02, multi_label=True) == pytest.approx(-(0.9 * np.log2(0.9) + 0.1 * np.log2(0.1)), abs=1e-6)
