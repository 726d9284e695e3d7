"""Limits take what is shown as the limit, to the last digit."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.precision import as_shown, highest, lowest

SHARES = st.floats(0, 1) | st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)


def test_values_are_shown_as_their_float32() -> None:
    assert as_shown(float(np.float32(0.7))) == 0.7
    assert float(np.float32(0.7)) < 0.7, "the case: the stored value is below what is shown"
    assert as_shown(0.7000000123) == 0.7
    assert (as_shown(0.0), as_shown(1.0)) == (0.0, 1.0)


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
