"""Limits take what is shown as the limit, to the last digit."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.precision import as_shown, highest, lowest, shortest_floats, shortest_list

SHARES = st.floats(0, 1) | st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)


def test_values_are_shown_as_their_float32() -> None:
    assert as_shown(float(np.float32(0.7))) == 0.7
    assert float(np.float32(0.7)) < 0.7, "the case: the stored value is below what is shown"
    assert as_shown(0.7000000123) == 0.7
    assert (as_shown(0.0), as_shown(1.0)) == (0.0, 1.0)


def texts(singles: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The float64 of each float32's shortest text, one by one."""
    return np.array([float(text) for text in singles.astype(str).tolist()])


DRAW = np.random.default_rng(11)
MANY = {
    "shares": DRAW.random(50_000, dtype=np.float32),
    "small": np.exp(-DRAW.exponential(8, 50_000)).astype(np.float32),
    "thousandths": (np.arange(5_000) / 1000).astype(np.float32),
    "any": DRAW.integers(0, 2**32, 20_000, dtype=np.uint64).astype(np.uint32).view(np.float32),
    "large": (DRAW.random(20_000) * 1e8).astype(np.float32),
    "beside powers of two": np.nextafter(np.exp2(np.arange(-120, 120, dtype=np.float32)), np.float32(0)),
    "special": np.array([0, -0.0, np.nan, np.inf, -np.inf, 1e-45, 2**24, 2**24 - 1, 8388608.5, -0.3], np.float32),
}


@pytest.mark.parametrize("kind", MANY)
def test_many_values_are_shown_as_their_texts(kind: str) -> None:
    singles = MANY[kind]
    np.testing.assert_array_equal(shortest_list(singles), texts(singles))
    np.testing.assert_array_equal(np.signbit(shortest_list(singles)), np.signbit(texts(singles)))


@pytest.mark.parametrize("count", [0, 1, 4, 63, 64, 65, 200])
def test_few_values_are_shown_as_many_are(count: int) -> None:
    singles = MANY["shares"][:count]
    assert shortest_list(singles) == texts(singles).tolist()


@given(st.floats(width=32) | st.floats(0, 1, width=32))
def test_any_value_is_shown_as_its_text(value: float) -> None:
    np.testing.assert_equal(shortest_list(np.array([value])), [as_shown(value)])


def test_a_matrix_keeps_its_rows() -> None:
    assert shortest_floats(np.array([[0.7, 0.1], [0.25, 1e-9]], np.float32)) == [[0.7, 0.1], [0.25, 1e-9]]
    assert shortest_floats(np.zeros((0, 3), np.float32)) == []


@given(SHARES)
def test_the_least_and_the_greatest_value_of_a_limit(limit: float) -> None:
    least, greatest = lowest(limit), highest(limit)
    assert as_shown(least) >= limit > as_shown(math.nextafter(least, -math.inf))
    assert as_shown(greatest) <= limit < as_shown(math.nextafter(greatest, math.inf))


@given(SHARES, SHARES)
def test_a_limit_takes_exactly_what_is_shown_on_its_side(value: float, limit: float) -> None:
    for near in (value, limit, float(np.float32(limit)), math.nextafter(limit, 2)):
        assert (near >= lowest(limit)) == (as_shown(near) >= limit)
        assert (near <= highest(limit)) == (as_shown(near) <= limit)
