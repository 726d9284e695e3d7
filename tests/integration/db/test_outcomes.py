"""Rows and tallies as `finish_chunk` writes them: many at once, each value as the tables' types store it."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Engine, event, select

from core.db.engine import reading, transaction
from core.db.jobs import read_tallies
from core.db.models import Result
from core.db.outcomes import ItemOutcome, add_tallies, insert_outcomes, name_from_bytes
from core.errors import ItemError, ItemErrorCode
from core.notes import ItemNote
from tests.support.ledger import Ledger

GOOD = ItemOutcome(
    0,
    "a\udcffé.jpg",
    label="mel",
    score=0.1 + 0.2,
    risk=1e-300,
    probabilities=bytes(range(256)),
    flag=True,
    novelty=2.5,
    uncertainty=0.25,
    width=70_000,
    height=1,
    notes=(ItemNote.GREYSCALE, ItemNote.BLURRED),
    difference_hash=-(2**63),
    metadata={"patient": 'Zoë, "7"', "side": ""},
)
BAD = ItemOutcome.from_error(1, "b\x00.jpg", ItemError(ItemErrorCode.TRUNCATED, "of \udcff and \x00: nothing"))
PLAIN = ItemOutcome(2, "c.jpg", label="nv", score=1.0, risk=0.0, probabilities=b"\0\0\x80?", flag=False, width=3, height=2)


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


def stored(ledger: Ledger, job_id: uuid.UUID) -> list[dict[str, Any]]:
    with reading(ledger.engine) as session:
        rows = session.scalars(select(Result).where(Result.job_id == job_id).order_by(Result.item_no)).all()
        return [{name: getattr(row, name) for name in Result.__mapper__.columns.keys()} for row in rows]  # noqa: SIM118 - no mapping


def test_every_value_comes_back_as_it_was(ledger: Ledger) -> None:
    job_id = ledger.start(items=3)
    with transaction(ledger.engine) as session:
        insert_outcomes(session, job_id, 2**40, [GOOD, BAD, PLAIN])
    good, bad, plain = stored(ledger, job_id)
    assert good == {
        "job_id": job_id,
        "item_no": 0,
        "name": b"a\xff\xc3\xa9.jpg",
        "state": "succeeded",
        "label": "mel",
        "score": 0.1 + 0.2,
        "risk": 1e-300,
        "probabilities": bytes(range(256)),
        "flag": True,
        "error_code": None,
        "error": None,
        "width": 70_000,
        "height": 1,
        "version": 2**40,
        "novelty": 2.5,
        "uncertainty": 0.25,
        "notes": "greyscale,blurred",
        "difference_hash": -(2**63),
        "row_metadata": {"patient": 'Zoë, "7"', "side": ""},
    }
    assert (name_from_bytes(good["name"]), name_from_bytes(bad["name"])) == (GOOD.name, BAD.name)
    assert (bad["state"], bad["error_code"], bad["error"]) == ("failed", "truncated", "of \\xff and \\x00: nothing")
    unset = (
        "label",
        "score",
        "risk",
        "probabilities",
        "flag",
        "width",
        "height",
        "novelty",
        "uncertainty",
        "notes",
        "difference_hash",
    )
    assert {bad[name] for name in (*unset, "row_metadata")} == {None}
    assert (plain["flag"], plain["risk"], plain["row_metadata"], plain["version"]) == (False, 0.0, None, 2**40)


def test_columns_without_any_value_are_null(ledger: Ledger) -> None:
    job_id = ledger.start(items=3)
    with transaction(ledger.engine) as session:
        insert_outcomes(session, job_id, None, [BAD])
    (row,) = stored(ledger, job_id)
    assert (row["version"], row["score"], row["flag"], row["row_metadata"]) == (None, None, None, None)


def test_a_row_that_is_there_stays_as_it_is(ledger: Ledger) -> None:
    job_id = ledger.start(items=3)
    with transaction(ledger.engine) as session:
        insert_outcomes(session, job_id, 7, [PLAIN])
    again = ItemOutcome(2, "other.jpg", label="mel", score=0.5)
    with transaction(ledger.engine) as session:
        insert_outcomes(session, job_id, 8, [GOOD, again, BAD, GOOD])  # one of them twice, too
    assert [(row["item_no"], row["label"], row["version"]) for row in stored(ledger, job_id)] == [
        (0, "mel", 8),
        (1, None, 8),
        (2, "nv", 7),
    ]


def test_the_number_of_statements_does_not_grow_with_the_rows(ledger: Ledger) -> None:
    counts = []
    for items in (4, 300):
        job_id = ledger.start(items=items, chunk_items=items)
        claim = ledger.claim(job_id, 0)
        assert claim is not None
        outcomes = [ItemOutcome(item, f"{item}.jpg", label=f"class {item % 9}", score=0.5) for item in claim.item_numbers]
        seen: list[str] = []
        note = lambda _connection, _cursor, statement, *_: seen.append(statement)  # noqa: E731, B023 - removed below
        event.listen(ledger.engine, "before_cursor_execute", note)
        assert ledger.finish(claim, outcomes)
        event.remove(ledger.engine, "before_cursor_execute", note)
        counts.append(len(seen))
        assert ledger.rows(job_id) == items
    assert counts[0] == counts[1]


def test_tallies_add_up_and_never_fall_below_zero(ledger: Ledger) -> None:
    job_id = ledger.start(items=3)
    for counts in (
        {("label", "nv"): 3, ("error", "truncated"): 2, ("note", "blurred"): 1},
        {("label", "nv"): 4, ("label", "mel"): 1, ("error", "damaged"): 0},
        {("error", "truncated"): -1, ("note", "blurred"): -5, ("error", "empty"): -2},
        {},
    ):
        with transaction(ledger.engine) as session:
            add_tallies(session, job_id, Counter(counts))
    with reading(ledger.engine) as session:
        tallies = read_tallies(session, job_id)
    assert (tallies.labels, tallies.errors, tallies.notes) == ({"nv": 7, "mel": 1}, {"truncated": 1}, {})


def test_labels_that_the_ledger_stores_alike_are_counted_together(ledger: Ledger) -> None:
    job_id = ledger.start(items=3)
    with transaction(ledger.engine) as session:
        add_tallies(session, job_id, Counter({("label", "a\x00"): 2, ("label", "a\\x00"): 3}))
    with reading(ledger.engine) as session:
        assert read_tallies(session, job_id).labels == {"a\\x00": 5}
