"""Two jobs side by side: pairs, counts, order, table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from cli.http.client import Client
from cli.output.comparison import COLUMNS, Comparison, compare_jobs, pair_rows
from tests.unit.cli.laid_out import Answer, LaidOutServer


def row(item: int, label: str | None, risk: float | None, **more: Any) -> dict[str, Any]:
    flag = None if risk is None else risk >= 0.5
    error = None if risk is not None else "truncated"
    return {"item": item, "name": f"{item}.jpg", "label": label, "risk": risk, "flag": flag, "error_code": error, **more}


A = [row(0, "nv", 0.1, version=1), row(1, "mel", 0.9, version=1), row(2, None, None, version=1), row(4, "nv", 0.45, version=1)]
B = [
    *(row(0, "nv", 0.25, version=2), row(1, "nv", 0.3, version=2), row(2, None, None, version=2)),
    *(row(3, "nv", 0.2, version=2), row(4, "nv", 0.55, version=2)),
]


def test_pairs_by_item() -> None:
    assert [pair.item for pair in pair_rows(A, B)] == [0, 1, 2, 4]
    assert [pair.item for pair in pair_rows(B, A)] == [0, 1, 2, 4]
    assert list(pair_rows([], B)) == []


def test_counts_and_order() -> None:
    comparison = Comparison(sorted(pair_rows(A, B), key=lambda pair: pair.rank))
    assert [pair.item for pair in comparison.pairs] == [1, 0, 4, 2]
    assert [pair.item for pair in comparison.disagreements] == [1, 4]  # another class; the same class, but another flag
    summary = comparison.summary()
    assert summary.pop("mean_risk_difference") == pytest.approx((0.15 + 0.6 + 0.1) / 3)
    assert summary.pop("largest_risk_difference") == pytest.approx(0.6)
    assert summary == {
        "items": 4,
        "compared": 3,
        "same_label": 2,
        "same_flag": 1,
        "flagged_by_a_only": 1,
        "flagged_by_b_only": 1,
        "disagreements": 2,
    }


def test_what_only_one_version_could_read_comes_first() -> None:
    (pair,) = pair_rows([row(0, "nv", 0.1, version=1)], [row(0, None, None, version=2)])
    assert (pair.agree, pair.risk_difference, pair.rank) == (False, None, (-2.0, 0))


def test_nothing_in_common_is_said_without_dividing_by_it() -> None:
    assert Comparison([]).summary()["mean_risk_difference"] is None


def test_fetches_both_and_writes_the_table(server: LaidOutServer, tmp_path: Path) -> None:
    import json

    for job, rows in (("a", A), ("b", B)):
        body = "".join(json.dumps(each) + "\n" for each in rows).encode()
        server.lay("GET", f"/v1/jobs/{job}/results.jsonl", Answer(body, kind="application/x-ndjson"))
    with Client(server.url) as client:
        compare_jobs(client, "a", "b").write(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        first, *_ = table = list(csv.DictReader(file))
    assert tuple(first) == COLUMNS
    assert (first["name"], first["agree"], first["label_a"], first["label_b"]) == ("1.jpg", "false", "mel", "nv")
    assert (first["version_a"], first["version_b"]) == ("1", "2")
    assert len(table) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
