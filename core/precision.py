"""In which precision scores and risks are shown, compared and stored: that of the float32 in which a model gives them.

A value is shown with the fewest digits that name its float32: 0.7, and not 0.699999988079071. A limit that a user gives means
the values as they are shown, so `min_risk=0.7` takes the row that shows 0.7.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_EXACT: Final = 2.0**24  # from here on the nearest whole number need not be the shortest text
_MOST_DECIMALS: Final = 20  # powers of ten up to 10^22 are exact in float64
_NEAR_TIE: Final = 1e-6
_FEW: Final = 64  # values that are quicker one by one than in columns


def shortest_floats(values: npt.NDArray[np.floating[Any]]) -> list[list[float]]:
    """A matrix as Python floats whose text is the shortest of the float32: 0.9, and not 0.8999999761581421.

    Args:
        values: float32 or float64 [rows, columns].
    """
    matrix: Any = _shortest(values.ravel()).reshape(values.shape)
    shortest: list[list[float]] = matrix.tolist()
    return shortest


def shortest_list(values: npt.NDArray[np.floating[Any]]) -> list[float]:
    """As `shortest_floats`, of float32 or float64 [n]."""
    shortest: list[float] = _shortest(values).tolist()
    return shortest


def _shortest(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """For each float32 the float64 of its shortest text, float64 [n]; texts themselves cost four times as much or more.

    With one decimal more at a time, the nearest decimal number is tried, until it is one that names the float32. A number of
    up to 2^53 over an exact power of ten is divided correctly rounded: what comes is the float64 of that decimal.
    """
    singles = values.astype(np.float32)
    if len(singles) <= _FEW:
        return np.array([float(str(single)) for single in singles], np.float64)
    with np.errstate(invalid="ignore"):  # a NaN stays one
        found = singles.astype(np.float64)
    left = np.flatnonzero(np.abs(found) < _EXACT)
    named = np.zeros(len(found), np.bool_)
    for decimals in range(_MOST_DECIMALS + 1):
        scaled = found[left] * 10.0**decimals
        whole = np.rint(scaled)
        tried = whole / 10.0**decimals
        fits = tried.astype(np.float32) == singles[left]
        sure = fits & (np.abs(np.abs(scaled - whole) - 0.5) > _NEAR_TIE)  # else the product's own rounding may have decided
        found[left[sure]] = tried[sure]
        named[left[sure]] = True
        left = left[~fits]
        if not len(left):
            break
    for place in np.flatnonzero(~named):  # large, tiny, not a number, or as good as halfway between two decimals
        found[place] = float(str(singles[place]))
    return found


def as_shown(value: float) -> float:
    """One value as it is shown."""
    return float(str(np.float32(value)))


def lowest(limit: float) -> float:
    """The least float64 that is shown as `limit` or more. Values of older ledgers are not stored as they are shown."""
    edge = np.float32(limit)
    if as_shown(float(edge)) < limit:
        edge = np.nextafter(edge, np.float32(math.inf))
    between = _middle(edge, -math.inf)
    return between if np.float32(between) == edge else math.nextafter(between, math.inf)


def highest(limit: float) -> float:
    """The greatest float64 that is shown as `limit` or less."""
    edge = np.float32(limit)
    if as_shown(float(edge)) > limit:
        edge = np.nextafter(edge, np.float32(-math.inf))
    between = _middle(edge, math.inf)
    return between if np.float32(between) == edge else math.nextafter(between, -math.inf)


def _middle(edge: np.float32, towards: float) -> float:
    """Halfway to the neighbouring float32, where rounding turns: exact in float64."""
    return (float(edge) + float(np.nextafter(edge, np.float32(towards)))) / 2
