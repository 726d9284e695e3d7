"""Which columns the classes of a model have in results.

Up to thirty classes have a column each, `p_<class>`. Of more, rows have the most probable ones: `label` and `score` first, then
`label_2`, `score_2` to `label_5`, `score_5`. Nobody reads a table of a thousand columns, and it is forty times as long.
All probabilities of one item are in its own row: GET /v1/jobs/{job_id}/items/{item_no}.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from core.precision import shortest_floats

MOST_COLUMNS = 30  # classes that have a column each
TOP = 5  # classes in a row of a model that has more


def has_columns(classes: Sequence[str]) -> bool:
    """Whether each class has a column."""
    return len(classes) <= MOST_COLUMNS


def class_keys(classes: Sequence[str], *, every: bool = False) -> list[str]:
    """The names of the columns, in their order; `every` class has one."""
    if every or has_columns(classes):
        return [f"p_{name}" for name in classes]
    return [key for place in range(2, TOP + 1) for key in (f"label_{place}", f"score_{place}")]


def class_values(matrix: npt.NDArray[np.float32], classes: Sequence[str], *, every: bool = False) -> Iterator[Sequence[Any]]:
    """For each row of probabilities, float32 [rows, classes], the values of `class_keys`."""
    if every or has_columns(classes):
        yield from shortest_floats(matrix)
        return
    best = rank(matrix)
    for row, scores in zip(best, shortest_floats(np.take_along_axis(matrix, best, axis=1)), strict=True):
        yield [each for place, score in zip(row, scores, strict=True) for each in (classes[place], score)]


def rank(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The classes behind the first, int64 [rows, TOP - 1], the most probable first; of equal ones the first in order."""
    best: npt.NDArray[np.int64] = np.argsort(-matrix, axis=1, kind="stable")[:, 1:TOP]
    return best
