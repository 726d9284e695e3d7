"""In which precision scores and risks are shown, compared and stored: that of the float32 in which a model gives them.

A value is shown with the fewest digits that name its float32: 0.7, and not 0.699999988079071. A limit that a user gives means
the values as they are shown, so `min_risk=0.7` takes the row that shows 0.7.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def shortest_floats(values: npt.NDArray[np.floating[Any]]) -> list[list[float]]:
    """A matrix as Python floats whose text is the shortest of the float32: 0.9, and not 0.8999999761581421.

    Args:
        values: float32 or float64 [rows, columns].
    """
    return [list(map(float, row)) for row in values.astype(np.float32).astype(str).tolist()]


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
