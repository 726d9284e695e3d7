"""Counters that a worker's processes share: one row of 64-bit floats for each process, one column for each series.

The memory is mapped before the fork, so the parent, which serves the page, sees what its children write, without files, locks
or messages. A row has one writer. Celery numbers its children and gives a dead one's number to its successor, which goes on
counting in the same row: totals never fall when children are replaced, and nothing of the dead is left to tidy up.
"""

from __future__ import annotations

import mmap

_COLUMNS = 512  # series; a row is one page of memory
_ROWS = 65  # row 0 is the parent's, the others are its children's


class SharedValues:
    """The values, seen from this process's row."""

    def __init__(self) -> None:
        """Map the memory, filled with zeros; this process writes row 0."""
        self._values = memoryview(mmap.mmap(-1, 8 * _COLUMNS * _ROWS)).cast("d")
        self._base = 0
        self._next = 0
        self._gauges: list[int] = []

    def reserve(self, count: int, *, gauge: bool = False) -> int:
        """Columns for `count` series; returns the first. A gauge starts from 0 with each process, a counter goes on.

        Raises:
            ValueError: there are no more columns.
        """
        first = self._next
        if first + count > _COLUMNS:
            raise ValueError(f"expected at most {_COLUMNS} series, got {first + count}: raise _COLUMNS")
        self._next += count
        if gauge:
            self._gauges += range(first, first + count)
        return first

    def enter(self, child: int) -> None:
        """This process is child number `child`, from 0: write its row. Beyond 64, two share a row and may lose counts."""
        self._base = _COLUMNS * (1 + child % (_ROWS - 1))
        for column in self._gauges:
            self.put(column, 0.0)

    def add(self, column: int, amount: float = 1.0) -> None:
        """Add to this process's value."""
        self._values[self._base + column] += amount

    def put(self, column: int, value: float) -> None:
        """Set this process's value."""
        self._values[self._base + column] = value

    def by_process(self, column: int) -> list[float]:
        """The values of parent and children, in order."""
        return list(self._values[column::_COLUMNS])

    def total(self, column: int) -> float:
        """The sum over parent and children."""
        return sum(self.by_process(column))
