"""Pages of rows with a note: the same rows in the same order as without it, and on SQLite by an index of such rows alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine, event

from core.db.engine import reading
from core.db.outcomes import ItemOutcome
from core.db.results import ResultFilter, ResultSort, count_results, position_of, read_results
from core.notes import ItemNote
from tests.support.ledger import Ledger, broken, succeeded

BLURRED, BOTH = (ItemNote.BLURRED,), (ItemNote.GREYSCALE, ItemNote.BLURRED)
NOTES = {1: BLURRED, 2: BOTH, 3: (ItemNote.GREYSCALE,), 5: BLURRED, 7: BLURRED, 8: BLURRED}  # item 6 fails
RISKS = {1: 0.5, 2: 0.9, 3: 0.95, 5: 0.5, 7: None, 8: 0.1}


def outcome(number: int) -> ItemOutcome:
    if number == 6:
        return broken(number)
    risk = RISKS.get(number, 0.7)
    return replace(succeeded(number), risk=risk, flag=None, label="a" if number % 2 else "b", notes=NOTES.get(number, ()))


@pytest.mark.parametrize(
    ("sort", "label", "expected"),
    [
        (ResultSort.ITEM, None, [1, 2, 5, 7, 8]),
        (ResultSort.RISK_DESCENDING, None, [2, 5, 1, 8, 7]),
        (ResultSort.RISK, None, [8, 1, 5, 2, 7]),
        (ResultSort.RISK, "a", [1, 5, 7]),
        (ResultSort.NOVELTY, None, [1, 2, 5, 7, 8]),
    ],
    ids=["by item", "riskiest first", "harmless first", "of one label", "without novelty"],
)
def test_order_and_pages(engine: Engine, sort: ResultSort, label: str | None, expected: list[int]) -> None:
    ledger = Ledger(engine)
    job_id = ledger.start(items=9, chunk_items=9)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    assert ledger.finish(claim, [outcome(number) for number in claim.item_numbers])
    chosen, found, after = ResultFilter(label=label, note=ItemNote.BLURRED), [], None
    seen: list[tuple[str, tuple[object, ...]]] = []
    with reading(engine) as session:
        note = lambda _connection, _cursor, statement, parameters, *_: seen.append((statement, parameters))  # noqa: E731
        event.listen(engine, "before_cursor_execute", note)
        try:
            while rows := read_results(session, job_id, chosen=chosen, sort=sort, limit=2, after=after):
                found += [row.item_no for row in rows]
                after = position_of(rows[-1], sort)
        finally:
            event.remove(engine, "before_cursor_execute", note)
        assert found == expected
        assert count_results(session, job_id, chosen) == len(expected)
        if engine.dialect.name == "sqlite" and label is None and sort != ResultSort.NOVELTY:
            statement, values = next(each for each in seen if each[0].startswith("SELECT"))
            plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            assert "COVERING INDEX ix_results_noted_" in " ".join(row[-1] for row in plan)


def test_more_rows_than_a_page_has_come_in_the_same_order(engine: Engine) -> None:
    ledger = Ledger(engine)
    job_id = ledger.start(items=9, chunk_items=9)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    assert ledger.finish(claim, [outcome(number) for number in claim.item_numbers])
    chosen = ResultFilter(note=ItemNote.BLURRED)
    with reading(engine) as session:
        few, many = (read_results(session, job_id, chosen=chosen, sort=ResultSort.RISK, limit=limit) for limit in (1000, 1001))
    assert few == many
    assert [row.item_no for row in few] == [8, 1, 5, 2, 7]
