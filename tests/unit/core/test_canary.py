"""The canary's share: deterministic, of the right size, only of jobs that leave the choice."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.canary import bucket, is_canary
from core.db.jobs import NewJob
from core.db.models import LOCAL_TENANT_ID

JOB = NewJob(LOCAL_TENANT_ID, "a.zip", {"kind": "path", "path": "/a"}, "starter")


@given(st.text(min_size=1), st.floats(0, 100), st.floats(0, 100))
def test_who_is_chosen_stays_so_when_the_share_grows(key: str, one: float, other: float) -> None:
    job = replace(JOB, idempotency_key=key)
    small, large = sorted((one, other))
    assert is_canary(job, small) <= is_canary(job, large)
    assert not is_canary(job, 0)
    assert is_canary(job, 100)


@pytest.mark.parametrize("percent", [1, 10, 50])
def test_the_share_is_about_as_large_as_asked_for(percent: int) -> None:
    chosen = sum(is_canary(replace(JOB, id=uuid.UUID(int=number)), percent) for number in range(20_000))
    assert chosen == pytest.approx(200 * percent, rel=0.15)


def test_the_key_decides_before_the_id() -> None:
    ids = [uuid.uuid4() for _ in range(50)]
    assert len({is_canary(replace(JOB, id=each, idempotency_key="k"), 50) for each in ids}) == 1
    assert len({is_canary(replace(JOB, id=each), 50) for each in ids}) == 2
    assert bucket("k") == bucket("k") < 10_000


def test_a_job_that_says_what_it_wants_gets_it() -> None:
    assert not is_canary(replace(JOB, label="stable"), 100)
    assert not is_canary(replace(JOB, version=1), 100)
