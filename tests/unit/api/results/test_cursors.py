"""Cursors survive a round trip, and anything else is refused in an orderly way."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.results.cursors import decode_job, decode_position, encode_job, encode_position
from api.schemas import MAX_ITEM
from core.db.results import Position, ResultSort
from core.errors import InvalidRequestError

VALUES = st.none() | st.floats(-3.4028234663852886e38, 3.4028234663852886e38, allow_nan=False)  # of a risk or novelty


@given(st.integers(0, MAX_ITEM), VALUES, st.sampled_from(ResultSort))
def test_positions(item: int, value: float | None, sort: ResultSort) -> None:
    position = Position(item, value)
    assert decode_position(encode_position(position, sort), sort) == position


@given(st.uuids())
def test_jobs(job_id: uuid.UUID) -> None:
    assert decode_job(encode_job(job_id)) == job_id


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda value: __import__("base64").urlsafe_b64encode(value).decode()))
def test_anything_else_is_refused(text: str) -> None:
    for decode in (decode_job, lambda value: decode_position(value, ResultSort.ITEM)):
        with pytest.raises(InvalidRequestError):
            decode(text)


def test_kinds_are_not_mixed() -> None:
    with pytest.raises(InvalidRequestError):
        decode_job(encode_position(Position(1), ResultSort.ITEM))
    with pytest.raises(InvalidRequestError):
        decode_position(encode_job(uuid.uuid4()), ResultSort.ITEM)
    with pytest.raises(InvalidRequestError, match="sort=risk"):
        decode_position(encode_position(Position(1), ResultSort.RISK), ResultSort.ITEM)
