"""Two jobs over the same images, side by side: agreement, disagreements, and a table of all items."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.output.replacing import writing
from core.csvcells import csv_line

if TYPE_CHECKING:
    from cli.http.client import Client

COLUMNS = (
    *("item", "name", "agree", "risk_difference", "label_a", "label_b", "risk_a", "risk_b", "flag_a", "flag_b"),
    *("error_a", "error_b", "version_a", "version_b"),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One item as both versions saw it."""

    item: int
    name: str
    label_a: str | None
    label_b: str | None
    risk_a: float | None
    risk_b: float | None
    flag_a: bool | None
    flag_b: bool | None
    error_a: str | None
    error_b: str | None
    version_a: int | None
    version_b: int | None

    @property
    def both(self) -> bool:
        """Whether both gave probabilities."""
        return self.label_a is not None and self.label_b is not None

    @property
    def agree(self) -> bool:
        """Same class and same flag, or the same failure."""
        return (self.label_a, self.flag_a, self.error_a) == (self.label_b, self.flag_b, self.error_b)

    @property
    def risk_difference(self) -> float | None:
        """Risk of b less that of a; None if one has none."""
        return None if self.risk_a is None or self.risk_b is None else self.risk_b - self.risk_a

    @property
    def rank(self) -> tuple[float, int]:
        """The largest difference first; an item that only one could read before all."""
        difference = self.risk_difference
        weight = abs(difference) if difference is not None else (0.0 if self.agree else 2.0)
        return -weight, self.item

    def row(self) -> list[Any]:
        """The values of COLUMNS."""
        return [getattr(self, name) for name in COLUMNS]


@dataclass(frozen=True)
class Comparison:
    """All pairs, the largest difference in risk first."""

    pairs: list[Pair]

    @property
    def disagreements(self) -> list[Pair]:
        """Pairs of another class, another flag, or another failure."""
        return [pair for pair in self.pairs if not pair.agree]

    def summary(self) -> dict[str, Any]:
        """Counts and differences, as --json prints them."""
        both = [pair for pair in self.pairs if pair.both]
        differences = [abs(pair.risk_difference) for pair in both if pair.risk_difference is not None]
        return {
            "items": len(self.pairs),
            "compared": len(both),
            "same_label": sum(pair.label_a == pair.label_b for pair in both),
            "same_flag": sum(pair.flag_a == pair.flag_b for pair in both),
            "flagged_by_a_only": sum(bool(pair.flag_a) and not pair.flag_b for pair in both),
            "flagged_by_b_only": sum(bool(pair.flag_b) and not pair.flag_a for pair in both),
            "disagreements": len(self.disagreements),
            "mean_risk_difference": sum(differences) / len(differences) if differences else None,
            "largest_risk_difference": max(differences, default=None),
        }

    def write(self, path: Path, *, excel: bool = False) -> None:
        """As CSV, which appears whole or not at all (`-` is stdout); for Excel with a byte order mark."""
        with writing(path) as file:
            file.write(codecs.BOM_UTF8 * excel + csv_line(list(COLUMNS)).encode())
            for pair in self.pairs:
                file.write(csv_line(pair.row()).encode("utf-8", "backslashreplace"))


def compare_jobs(client: Client, job_a: str, job_b: str) -> Comparison:
    """Fetch both jobs' rows and pair them by item."""
    pairs = pair_rows(read_rows(client, job_a), read_rows(client, job_b))
    return Comparison(sorted(pairs, key=lambda pair: pair.rank))


def read_rows(client: Client, job_id: str) -> Iterator[dict[str, Any]]:
    """A job's rows in the order of the archive, while they come."""
    rest = b""
    for block in client.result_blocks(job_id, "jsonl"):
        *lines, rest = (rest + block).split(b"\n")
        yield from (json.loads(line) for line in lines if line)
    if rest:
        yield json.loads(rest)


def pair_rows(rows_a: Iterable[dict[str, Any]], rows_b: Iterable[dict[str, Any]]) -> Iterator[Pair]:
    """Pair two lists of rows, each ascending by item; an item that only one job has a row for is left out."""
    others = iter(rows_b)
    other = next(others, None)
    for row in rows_a:
        while other is not None and other["item"] < row["item"]:
            other = next(others, None)
        if other is not None and other["item"] == row["item"]:
            yield _pair(row, other)


def _pair(a: dict[str, Any], b: dict[str, Any]) -> Pair:
    return Pair(
        item=a["item"],
        name=a["name"],
        label_a=a["label"],
        label_b=b["label"],
        risk_a=a["risk"],
        risk_b=b["risk"],
        flag_a=a["flag"],
        flag_b=b["flag"],
        error_a=a["error_code"],
        error_b=b["error_code"],
        version_a=a["version"],
        version_b=b["version"],
    )
