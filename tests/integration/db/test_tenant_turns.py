"""Turns between tenants, on SQLite and on PostgreSQL: shares of claims, whatever the number of jobs."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest
from sqlalchemy import Engine

from core.access.callers import local_caller
from core.db.access.tenants import create_tenant
from core.db.engine import reading, transaction
from core.db.jobs import read_progress
from core.db.models import LOCAL_TENANT_ID, JobState
from core.db.turns import QUANTUM_S, look_around
from tests.integration.db.test_turns import Workers
from tests.support.ledger import Ledger


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


def tenant(ledger: Ledger, name: str, weight: int = 1) -> uuid.UUID:
    with transaction(ledger.engine) as session:
        return create_tenant(session, local_caller(LOCAL_TENANT_ID), name, ledger.clock.now(), weight=weight).id


def shares(claims: object, owners: dict[uuid.UUID, str]) -> Counter[str]:
    return Counter(owners[job_id] for job_id in claims)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("few", "many", "workers"), [(1, 9, 1), (1, 9, 3), (2, 5, 2)])
def test_two_tenants_get_the_same_whatever_the_number_of_their_jobs(ledger: Ledger, few: int, many: int, workers: int) -> None:
    owners = {}
    for name, jobs in (("few", few), ("many", many)):
        owner = tenant(ledger, name)
        owners |= {ledger.start(items=4000, tenant_id=owner): name for _ in range(jobs)}
    at_work = Workers(ledger, workers)
    at_work.steps(20)
    counted = shares(at_work.steps(80), owners)
    assert abs(counted["few"] - counted["many"]) <= 4


def test_a_weight_is_a_share(ledger: Ledger) -> None:
    owners = {ledger.start(items=4000, tenant_id=tenant(ledger, name, weight)): name for name, weight in (("a", 3), ("b", 1))}
    at_work = Workers(ledger, 1)
    at_work.steps(20)
    counted = shares(at_work.steps(80), owners)
    assert 2.5 <= counted["a"] / counted["b"] <= 3.5


@pytest.mark.parametrize("jobs", [1, 30])
def test_a_small_job_of_a_third_is_next(ledger: Ledger, jobs: int) -> None:
    for name in ("a", "b"):
        owner = tenant(ledger, name)
        for _ in range(jobs):
            ledger.start(items=400, tenant_id=owner)
    at_work = Workers(ledger, 2)
    at_work.steps(40)
    small = ledger.start(items=8, tenant_id=tenant(ledger, "c"))
    assert list(at_work.steps(2)) == [small, small]


def state_of(ledger: Ledger, job_id: uuid.UUID) -> JobState:
    with reading(ledger.engine) as session:
        progress = read_progress(session, job_id)
    assert progress is not None
    return progress.state


def until_the_end(ledger: Ledger, at_work: Workers, jobs: set[uuid.UUID]) -> dict[uuid.UUID, float]:
    """Work on until all of the jobs have succeeded; seconds of the ledger's clock from now until the end of each."""
    began, ended = ledger.clock.now(), {}
    while jobs - ended.keys():
        goes_on = at_work.step()
        for job_id in jobs - ended.keys():
            if state_of(ledger, job_id) == JobState.SUCCEEDED:
                ended[job_id] = (ledger.clock.now() - began).total_seconds()
        assert goes_on or not jobs - ended.keys(), "nothing is left, and a job has not ended"
    return ended


@pytest.mark.parametrize("workers", [1, 2])
def test_tenants_with_as_much_work_end_together(ledger: Ledger, workers: int) -> None:
    """One has all its items in one job and came first, the other in five jobs."""
    first, second = tenant(ledger, "a"), tenant(ledger, "b")
    whole = {ledger.start(items=400, tenant_id=first)}
    parts = {ledger.start(items=80, tenant_id=second) for _ in range(5)}
    ended = until_the_end(ledger, Workers(ledger, workers), whole | parts)
    ends = [max(ended[job_id] for job_id in jobs) for jobs in (whole, parts)]
    assert max(ends) == pytest.approx(200 * QUANTUM_S / workers, rel=0.05), "nobody idles"
    assert max(ends) / min(ends) <= 1.1


def test_fifty_items_of_a_third_take_no_longer_than_three_times_alone(ledger: Ledger) -> None:
    third = tenant(ledger, "c")
    at_work = Workers(ledger, 2)
    small = ledger.start(items=50, tenant_id=third)
    alone = until_the_end(ledger, at_work, {small})[small]
    giants = [ledger.start(items=4000, tenant_id=tenant(ledger, name)) for name in ("a", "b")]
    at_work.steps(60)
    small = ledger.start(items=50, tenant_id=third)
    between = until_the_end(ledger, at_work, {small})[small]
    assert alone > 0
    assert between <= 3 * alone
    assert {state_of(ledger, job_id) for job_id in giants} == {JobState.RUNNING}


def test_a_flood_of_small_jobs_does_not_keep_another_tenants_giant_waiting(ledger: Ledger) -> None:
    giant = ledger.start(items=4000, tenant_id=tenant(ledger, "giant"))
    flood = tenant(ledger, "flood")
    at_work = Workers(ledger, 1)
    at_work.steps(20)
    for _ in range(60):  # more of them than candidates are looked at
        ledger.start(items=4, tenant_id=flood)
    counted = Counter(job_id == giant for job_id in at_work.steps(60))
    assert counted[True] >= 20


def test_what_somebody_waits_for_is_before_all_else_whoever_it_is(ledger: Ledger) -> None:
    first, second = tenant(ledger, "a"), tenant(ledger, "b")
    ledger.start(items=400, tenant_id=first)
    ledger.start(items=400, tenant_id=second)
    at_work = Workers(ledger, 1)
    at_work.steps(11)
    for owner in (first, second):
        single = ledger.start(items=1, interactive=True, tenant_id=owner)
        assert list(at_work.steps(1)) == [single]


def test_inside_a_tenant_priorities_hold(ledger: Ledger) -> None:
    owner = tenant(ledger, "a")
    low, high = (ledger.start(items=4000, priority=priority, tenant_id=owner) for priority in (0, 2))
    ledger.start(items=4000, tenant_id=tenant(ledger, "b"))
    at_work = Workers(ledger, 1)
    at_work.steps(40)
    counted = Counter(at_work.steps(120))
    assert 3.0 <= counted[high] / counted[low] <= 5.0
    assert abs(counted[high] + counted[low] - 60) <= 3


def test_who_looks_up_gives_way_to_the_other_tenant_after_a_quantum(ledger: Ledger) -> None:
    mine = ledger.start(items=400, tenant_id=tenant(ledger, "a"))

    def gives_way(busy_s: float) -> bool:
        with reading(ledger.engine) as session:
            return look_around(session, mine, busy_s, ledger.clock.now()).gives_way

    claim = ledger.claim_next()
    assert claim is not None
    assert not gives_way(60.0), "nobody else waits"
    other = ledger.start(items=400, tenant_id=tenant(ledger, "b"))
    assert not gives_way(QUANTUM_S / 2)
    assert gives_way(QUANTUM_S)
    ledger.clock.advance(QUANTUM_S)
    ledger.finish(claim)
    taken = ledger.claim_next()
    assert taken is not None
    assert taken.job_id == other
