"""The population stability index, and what it is taken to mean."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.drift import Drift, DriftLevel, Seen, measure_drift, population_stability
from core.modelspec import Bins, Reference

REFERENCE = Reference(images=1000, classes=(0.5, 0.5), risk=Bins(edges=(0.2, 0.6), shares=(0.25, 0.5, 0.25)))


def test_the_index_by_hand() -> None:
    expected = (0.75 - 0.5) * math.log(0.75 / 0.5) + (0.25 - 0.5) * math.log(0.25 / 0.5)
    assert population_stability((0.5, 0.5), (75, 25)) == pytest.approx(expected)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=12))
def test_nothing_moved(counts: list[int]) -> None:
    total = sum(counts)
    assert population_stability([count / total for count in counts], counts) == pytest.approx(0, abs=1e-9)


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 1000)), min_size=2, max_size=12))
def test_never_below_nothing_and_finite_with_empty_bins(pairs: list[tuple[int, int]]) -> None:
    expected, seen = [share for share, _ in pairs], [count for _, count in pairs]
    if sum(seen):
        index = population_stability([share / sum(expected) for share in expected], seen)
        assert -1e-12 <= index < math.inf


@pytest.mark.parametrize(
    ("classes", "risk", "level"),
    [
        ((500, 500), (250, 500, 250), DriftLevel.STABLE),
        ((620, 380), (250, 500, 250), DriftLevel.STABLE),
        ((680, 320), (250, 500, 250), DriftLevel.MOVED),
        ((500, 500), (20, 480, 500), DriftLevel.SHIFTED),
        ((100, 99), (20, 79, 100), DriftLevel.FEW),
    ],
    ids=["as expected", "a little", "classes moved", "risk shifted", "too few to say"],
)
def test_the_largest_index_sets_the_level(classes: tuple[int, ...], risk: tuple[int, ...], level: DriftLevel) -> None:
    found = measure_drift(REFERENCE, Seen(sum(classes), classes, risk))
    assert found is not None
    assert found.novelty is None
    assert found.level is level


def test_without_images_there_is_no_index() -> None:
    assert measure_drift(REFERENCE, Seen(0, (0, 0), (0, 0, 0))) is None


def test_without_risks_only_the_classes_count() -> None:
    assert measure_drift(REFERENCE, Seen(1000, (500, 500))) == Drift(1000, pytest.approx(0.0), None, None)


@pytest.mark.parametrize(
    ("edges", "shares", "match"),
    [((0.5,), (1.0,), "one share more"), ((0.5, 0.5), (0.2, 0.3, 0.5), "edges that rise")],
    ids=["too few shares", "equal edges"],
)
def test_bins_that_are_none(edges: tuple[float, ...], shares: tuple[float, ...], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Bins(edges=edges, shares=shares)
