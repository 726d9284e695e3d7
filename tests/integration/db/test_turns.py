"""Whose turn it is, on SQLite and on PostgreSQL: orders and shares of claims, and no seconds of any machine."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from core.db.chunks import Claim, note_bug, put_back_chunk
from core.db.engine import reading, transaction
from core.db.lifecycle import request_cancel
from core.db.maintenance import republish
from core.db.models import LOCAL_TENANT_ID, Base, JobState
from core.db.retrying import retry_job
from core.db.turns import FRESH, HEAD_START_S, QUANTUM_S, any_claimable, look_around
from core.errors import ItemErrorCode
from tests.support.ledger import Ledger, broken


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


@dataclass
class Workers:
    """Processes that each have a chunk in work; the one that has worked longest on its chunk finishes first."""

    ledger: Ledger
    count: int
    chunk_s: float = QUANTUM_S
    held: list[Claim] = field(default_factory=list)
    order: list[uuid.UUID] = field(default_factory=list)  # of the jobs of all claims

    def step(self) -> bool:
        """One claim, when all processes are at work; False when nothing is left."""
        if len(self.held) == self.count or (self.held and not self._any_claimable()):
            self.ledger.clock.advance(self.chunk_s / self.count)
            assert self.ledger.finish(self.held.pop(0))
        claim = self.ledger.claim_next()
        if claim is not None:
            self.held.append(claim)
            self.order.append(claim.job_id)
        return claim is not None or bool(self.held)

    def steps(self, count: int) -> Sequence[uuid.UUID]:
        """The jobs of the next claims."""
        before = len(self.order)
        while len(self.order) - before < count and self.step():
            pass
        return self.order[before:]

    def _any_claimable(self) -> bool:
        with reading(self.ledger.engine) as session:
            return any_claimable(session, self.ledger.clock.now())


def work_on(ledger: Ledger, chunks: int) -> list[uuid.UUID]:
    """One process takes so many chunks, a quantum each; returns their jobs."""
    jobs = []
    for _ in range(chunks):
        claim = ledger.claim_next()
        assert claim is not None
        ledger.clock.advance(QUANTUM_S)
        ledger.finish(claim)
        jobs.append(claim.job_id)
    return jobs


@pytest.mark.parametrize(("giants", "workers"), [(1, 1), (2, 2), (7, 2)])
def test_a_small_job_is_next_behind_any_number_of_giants(ledger: Ledger, giants: int, workers: int) -> None:
    for _ in range(giants):
        ledger.start(items=400)
    at_work = Workers(ledger, workers)
    at_work.steps(40)
    small = ledger.start(items=8)  # two chunks
    assert list(at_work.steps(2)) == [small, small]


def test_a_small_job_is_next_behind_one_giant_of_very_many_chunks(ledger: Ledger) -> None:
    ledger.start(items=20_000)  # 5,000 chunks
    at_work = Workers(ledger, 2)
    at_work.steps(10)
    small = ledger.start(items=4)
    assert list(at_work.steps(1)) == [small]


def test_small_jobs_that_come_together_go_in_the_order_in_which_they_came(ledger: Ledger) -> None:
    ledger.start(items=400)
    at_work = Workers(ledger, 1)
    at_work.steps(10)
    small = [ledger.start(items=4) for _ in range(6)]
    assert list(at_work.steps(6)) == small


def test_a_later_small_job_does_not_keep_an_earlier_one_waiting(ledger: Ledger) -> None:
    ledger.start(items=400)
    at_work = Workers(ledger, 1, chunk_s=0.1)
    at_work.steps(10)
    came = [ledger.start(items=4)]
    for _ in range(10):  # one comes with each claim
        came.append(ledger.start(items=4))
        at_work.steps(1)
    assert at_work.order[10:] == came[:10]


def test_giants_of_one_priority_share_alike(ledger: Ledger) -> None:
    first = ledger.start(items=4000)
    at_work = Workers(ledger, 2)
    at_work.steps(50)
    second = ledger.start(items=4000)
    at_work.steps(20)  # the second uses its head start up
    counted = Counter(at_work.steps(100))
    assert abs(counted[first] - counted[second]) <= 2


def test_a_job_of_high_priority_gets_four_times_the_share_of_a_low_one(ledger: Ledger) -> None:
    low, high = ledger.start(items=4000, priority=0), ledger.start(items=4000, priority=2)
    at_work = Workers(ledger, 1)
    at_work.steps(20)
    counted = Counter(at_work.steps(100))
    assert 3.5 <= counted[high] / counted[low] <= 4.5


def test_processes_that_claim_at_once_share_themselves_out(ledger: Ledger) -> None:
    jobs = [ledger.start(items=400) for _ in range(2)]
    first, second = ledger.claim_next(), ledger.claim_next()
    assert first is not None
    assert second is not None
    assert {first.job_id, second.job_id} == set(jobs)


def test_what_somebody_waits_for_is_before_all_else(ledger: Ledger) -> None:
    ledger.start(items=400)
    at_work = Workers(ledger, 1)
    at_work.steps(5)
    small, single = ledger.start(items=4), ledger.start(items=1, interactive=True)
    assert list(at_work.steps(2)) == [single, small]


def test_a_job_that_was_away_has_saved_up_no_turns(ledger: Ledger) -> None:
    """Its source did not answer for a long time; the other one is not kept waiting for it afterwards."""
    away, other = ledger.start(items=4), ledger.start(items=4000)
    claim = ledger.claim_next()
    assert claim is not None
    assert claim.job_id == away
    with transaction(ledger.engine) as session:
        put_back_chunk(session, claim, "storage: away", ledger.clock.now() + timedelta(seconds=600), ledger.clock.now())
    at_work = Workers(ledger, 1)
    at_work.steps(100)
    with transaction(ledger.engine) as session:
        republish.top_up_jobs(session, ledger.window, ledger.clock.now(), None)
    assert ledger.job(away).turn >= ledger.job(other).turn - HEAD_START_S


@pytest.mark.parametrize("bug", [False, True], ids=["outage", "bug"])
def test_a_job_that_fails_again_and_again_does_not_keep_the_others_waiting(ledger: Ledger, bug: bool) -> None:
    ledger.start(items=400)
    sound = ledger.start(items=400)
    order = []
    for _ in range(60):
        claim = ledger.claim_next()
        assert claim is not None
        order.append(claim.job_id)
        now = ledger.clock.now()
        if claim.job_id == sound:
            ledger.clock.advance(QUANTUM_S)
            ledger.finish(claim)
            continue
        with transaction(ledger.engine) as session:
            if bug:
                note_bug(session, claim, "abc", now + timedelta(seconds=1), now, max_bugs=99)
            else:
                put_back_chunk(session, claim, "storage: away", now + timedelta(seconds=1), now)
    assert order.count(sound) >= 28


def test_a_retried_job_takes_its_place_anew(ledger: Ledger) -> None:
    job_id, other = ledger.start(items=4), ledger.start(items=4000)
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    ledger.clock.advance(100)
    ledger.finish(claim, [broken(number, ItemErrorCode.TRUNCATED) for number in claim.item_numbers])
    at_work = Workers(ledger, 1)
    assert set(at_work.steps(20)) == {other}
    with transaction(ledger.engine) as session:
        retry_job(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())
    assert ledger.job(job_id).served_s == 0.0
    assert list(at_work.steps(1)) == [job_id]


def test_who_looks_up_gives_way_to_a_small_job_at_once_and_to_a_giant_after_a_quantum(ledger: Ledger) -> None:
    giant = ledger.start(items=400)
    work_on(ledger, 10)

    def gives_way(busy_s: float) -> bool:
        with reading(ledger.engine) as session:
            outlook = look_around(session, giant, busy_s, ledger.clock.now())
        assert outlook.wanted
        return outlook.gives_way

    assert not gives_way(60.0), "nobody else waits"
    small = ledger.start(items=8)
    assert gives_way(0.0)
    assert work_on(ledger, 2) == [small, small]
    assert not gives_way(60.0)
    other = ledger.start(items=400)
    work_on(ledger, 10)  # both have used their head start up
    assert ledger.job(other).served_s >= HEAD_START_S
    while (claim := ledger.claim_next()) is not None and claim.job_id != giant:
        ledger.finish(claim)
    assert not gives_way(0.0)
    assert gives_way(4 * QUANTUM_S)


def test_who_looks_up_sees_that_its_job_is_cancelled_and_that_a_new_one_waits(ledger: Ledger) -> None:
    job_id = ledger.start(items=8)
    assert ledger.claim_next() is not None

    def look() -> tuple[bool, bool]:
        with reading(ledger.engine) as session:
            outlook = look_around(session, job_id, 0.1, ledger.clock.now())
        return outlook.wanted, outlook.prepare_waits

    assert look() == (True, False)
    ledger.submit()
    assert look() == (True, True)
    ledger.clock.advance(FRESH.total_seconds() + 1)
    assert look() == (True, False), "its message is lost: the sweep sends another"
    with transaction(ledger.engine) as session:
        request_cancel(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())
    assert look() == (False, False)


def test_ten_workers_that_claim_at_once_take_each_chunk_once(ledger: Ledger) -> None:
    jobs = [ledger.start(items=40) for _ in range(2)]  # ten chunks each
    claims: list[Claim] = []

    def work() -> None:
        while (claim := ledger.claim_next()) is not None:
            claims.append(claim)
            ledger.finish(claim)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((claim.job_id, claim.chunk_no) for claim in claims) == sorted(itertools.product(jobs, range(10)))
    assert [ledger.job(job_id).state for job_id in jobs] == [JobState.SUCCEEDED] * 2


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    priorities=st.lists(st.integers(0, 2), min_size=2, max_size=4),
    workers=st.integers(1, 3),
    chunk_s=st.floats(0.05, 1.5),
    seed=st.integers(1, 5),
)
def test_no_job_gets_ahead_of_its_share(ledger: Ledger, priorities: list[int], workers: int, chunk_s: float, seed: int) -> None:
    """As long as all have chunks: work by weight differs by no more than the head start and a chunk of each process."""
    with transaction(ledger.engine) as session:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name != "tenants":
                session.execute(table.delete())
    jobs = [ledger.start(items=400, priority=priority) for priority in priorities]
    at_work = Workers(ledger, workers, chunk_s)
    at_work.steps(20 * seed)
    weights = [0.5 * 2**priority for priority in priorities]
    shares = [ledger.job(job_id).served_s / weight for job_id, weight in zip(jobs, weights, strict=True)]
    slack = HEAD_START_S / min(weights) + 2 * workers * max(chunk_s, QUANTUM_S) / min(weights)
    assert max(shares) - min(shares) <= slack
