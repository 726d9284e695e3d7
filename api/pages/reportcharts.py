"""The figures of a report as shapes: cells of the matrix, and points of the two plots in the units of their viewBox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEFT, TOP, SIDE = 40, 10, 240  # of a plot's square
SHADES = 5
_LARGEST, _SMALLEST = 12.0, 2.0  # radius of a bin's dot


@dataclass(frozen=True, slots=True)
class Cell:
    """Pictures of one true class that the model gives one class."""

    label: str
    count: int
    shade: int  # 0 to SHADES: the share of the row
    right: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the matrix."""

    truth: str
    cells: list[Cell]


def draw(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the template of a report needs besides the report."""
    operating = report["operating_points"].get(report["operating_point"])
    known = operating is not None and operating["sensitivity"] is not None and operating["specificity"] is not None
    bins = [row for row in report["reliability"] if row["images"]]
    most = max((row["images"] for row in bins), default=1)
    return {
        "matrix": matrix_lines(report["class_names"], report["confusion"]),
        "roc": " ".join([_point(0.0, 0.0), *(_point(1 - row["specificity"], row["sensitivity"]) for row in report["roc"])])
        if report["roc"]
        else "",
        "operating": operating,
        "point": place(1 - operating["specificity"], operating["sensitivity"]) if known else None,
        "reliability": " ".join(_point(row["confidence"], row["accuracy"]) for row in bins),
        "bins": [
            (*place(row["confidence"], row["accuracy"]), round(max(_SMALLEST, _LARGEST * (row["images"] / most) ** 0.5), 2))
            for row in bins
        ],
    }


def matrix_lines(names: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[Line]:
    """The rows of the matrix, with a shade for each cell by its share of the row."""
    return [
        Line(
            truth,
            [
                Cell(label, count, round(SHADES * count / max(sum(row), 1)), truth == label)
                for label, count in zip(names, row, strict=True)
            ],
        )
        for truth, row in zip(names, confusion, strict=True)
    ]


def place(x: float, y: float) -> tuple[float, float]:
    """Where a point of the unit square lies in a plot."""
    return round(LEFT + SIDE * x, 2), round(TOP + SIDE * (1 - y), 2)


def _point(x: float, y: float) -> str:
    return "{},{}".format(*place(x, y))
