"""Rows of a model without malignant classes: by how unsure the model is, page by page, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from core.db.engine import reading
from core.db.outcomes import ItemOutcome
from core.db.results import ResultFilter, ResultSort, position_of, read_results
from tests.support.ledger import Ledger, broken, succeeded

UNCERTAIN = {0: 0.5, 1: 0.9, 2: 0.1, 3: 0.9, 5: 0.0}  # item 4 fails


def outcome(number: int) -> ItemOutcome:
    if number not in UNCERTAIN:
        return broken(number)
    label = "a" if number % 2 else "b"
    return replace(succeeded(number), risk=None, flag=None, uncertainty=UNCERTAIN[number], label=label)


@pytest.mark.parametrize(
    ("sort", "label", "expected"),
    [
        (ResultSort.UNCERTAINTY_DESCENDING, None, [3, 1, 0, 2, 5, 4]),
        (ResultSort.UNCERTAINTY, None, [5, 2, 0, 1, 3, 4]),
        (ResultSort.UNCERTAINTY_DESCENDING, "a", [3, 1, 5]),
        (ResultSort.RISK_DESCENDING, None, [0, 1, 2, 3, 4, 5]),
        (ResultSort.RISK_DESCENDING, "b", [0, 2]),
    ],
    ids=["least sure first", "surest first", "of one label", "without a risk", "without a risk, of one label"],
)
def test_order_and_pages(engine: Engine, sort: ResultSort, label: str | None, expected: list[int]) -> None:
    ledger = Ledger(engine)
    job_id = ledger.start(items=6, chunk_items=6)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    assert ledger.finish(claim, [outcome(number) for number in claim.item_numbers])
    chosen, found, after = ResultFilter(label=label), [], None
    with reading(engine) as session:
        while rows := read_results(session, job_id, chosen=chosen, sort=sort, limit=2, after=after):
            found += [row.item_no for row in rows]
            after = position_of(rows[-1], sort)
    assert found == expected
