"""Counters, gauges and histograms over shared values: Prometheus' model of data, for processes that fork.

Label values are listed in advance, each combination is one column: nothing a job or a file is called can become a series.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from worker.telemetry.sharedvalues import SharedValues

Kind = Literal["counter", "gauge", "histogram"]
_NO_LABELS: tuple[tuple[str, ...], ...] = ((),)


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of the page, but for its name's beginning."""

    suffix: str
    labels: dict[str, str]
    value: float


class Counter:
    """Only grows. Exported with `_total`."""

    kind: Kind = "counter"

    def __init__(
        self,
        values: SharedValues,
        name: str,
        help_text: str,
        labels: tuple[str, ...] = (),
        series: Sequence[tuple[str, ...]] = _NO_LABELS,
    ) -> None:
        """Reserve its columns.

        Args:
            values: the shared memory.
            name: without `_total`.
            help_text: what it counts, in a sentence.
            labels: names.
            series: every combination of their values. A value that is not listed is counted under ("other", …), if that is.
        """
        self.name, self.help_text = name, help_text
        self._values, self._labels, self._series = values, labels, tuple(series)
        first = values.reserve(len(self._series), gauge=self.kind == "gauge")
        self._columns = {each: first + number for number, each in enumerate(self._series)}
        self._other = self._columns.get(("other",) * len(labels))

    def add(self, *labels: str, amount: float = 1.0) -> None:
        """Count."""
        self._values.add(self._column(labels), amount)

    def _column(self, labels: tuple[str, ...]) -> int:
        column = self._columns.get(labels, self._other)
        if column is None:
            raise KeyError(f"{self.name}: expected labels among {list(self._series)}, got {labels}")
        return column

    def total(self, *labels: str) -> float:
        """Over all processes."""
        return self._values.total(self._column(labels))

    def samples(self) -> Iterator[Sample]:
        """All series, zeros too: a rate needs a first value."""
        suffix = "_total" if self.kind == "counter" else ""
        for labels in self._series:
            yield Sample(suffix, dict(zip(self._labels, labels, strict=True)), self.total(*labels))


class Gauge(Counter):
    """Rises and falls; what the parent exports is the sum, or the greatest, over its processes."""

    kind: Kind = "gauge"

    def __init__(self, values: SharedValues, name: str, help_text: str, *, greatest: bool = False) -> None:
        """Reserve its column.

        Args:
            values: the shared memory.
            name: the whole name.
            help_text: what it is, in a sentence.
            greatest: export the greatest value instead of the sum: for instants.
        """
        super().__init__(values, name, help_text)
        self._greatest = greatest

    def put(self, value: float) -> None:
        """Set this process's value."""
        self._values.put(self._columns[()], value)

    def by_process(self) -> list[float]:
        """The values of parent and children."""
        return self._values.by_process(self._columns[()])

    def total(self, *labels: str) -> float:
        """The sum over all processes, or the greatest."""
        return max(self.by_process()) if self._greatest else super().total(*labels)


class Histogram:
    """Counts observations by size."""

    kind: Kind = "histogram"

    def __init__(self, values: SharedValues, name: str, help_text: str, bounds: Sequence[float]) -> None:
        """Reserve a column for each bucket and one for the sum.

        Args:
            values: the shared memory.
            name: the whole name, with its unit.
            help_text: what it observes, in a sentence.
            bounds: upper bounds of the buckets, rising, without infinity.
        """
        self.name, self.help_text = name, help_text
        self._values, self._bounds = values, tuple(bounds)
        self._first = values.reserve(len(self._bounds) + 2)
        self._sum = self._first + len(self._bounds) + 1

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._values.add(self._first + bisect.bisect_left(self._bounds, value))
        self._values.add(self._sum, value)

    def samples(self) -> Iterator[Sample]:
        """Cumulative buckets, sum and count."""
        seen = 0.0
        for number, bound in enumerate((*map(str, map(float, self._bounds)), "+Inf")):
            seen += self._values.total(self._first + number)
            yield Sample("_bucket", {"le": bound}, seen)
        yield Sample("_sum", {}, self._values.total(self._sum))
        yield Sample("_count", {}, seen)
