"""Numbers as shapes of SVG. Sizes are attributes: the pages' policy forbids inline styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.results.schemas import Histogram
from api.schemas import JobObject

WIDTH, HEIGHT = 400, 120  # of the risk's columns, in the units of their viewBox
COLOURS = 8  # classes beyond have the last one, which is grey


@dataclass(frozen=True, slots=True)
class Bar:
    """One class: how many items, and how long its bar is against the longest."""

    label: str
    items: int
    length: float  # 0 to 100
    colour: int


@dataclass(frozen=True, slots=True)
class Column:
    """One bin of the risk."""

    x: float
    width: float
    y: float
    height: float
    above: bool  # the whole bin reaches the threshold


def colour_of(label: str, classes: Sequence[str] | None) -> int:
    """The number of a class's colour: its place among the model's classes."""
    known = list(classes or ())
    return min(known.index(label), COLOURS) if label in known else COLOURS


def class_bars(job: JobObject) -> list[Bar]:
    """All classes of the model, most frequent first, those without items too."""
    counts = job.labels | {label: 0 for label in job.classes or () if label not in job.labels}
    most = max(counts.values(), default=0) or 1
    return [
        Bar(label, items, round(100 * items / most, 2), colour_of(label, job.classes))
        for label, items in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    ]


def risk_columns(histogram: Histogram) -> list[Column]:
    """The risk's distribution. Heights are proportional to the square root, so that a few items beside thousands are seen."""
    most = max(histogram.risk, default=0) or 1
    step = WIDTH / histogram.bins
    columns = []
    for at, items in enumerate(histogram.risk):
        height = round(HEIGHT * (items / most) ** 0.5, 2)
        above = histogram.threshold is not None and at / histogram.bins >= histogram.threshold - 1e-9
        columns.append(Column(round(at * step + 0.5, 2), round(step - 1, 2), round(HEIGHT - height, 2), height, above))
    return columns
