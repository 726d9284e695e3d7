"""A state machine over submit, run, crash, redeliver, cancel, retry, delete, expire and sweep against the real ledger.

On SQLite and on PostgreSQL, with outages at any statement and a clock that jumps. Whatever the order, at the end every job that
was not cancelled has each row exactly once, and counts that agree with its rows.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import Engine, event, func, select
from sqlalchemy.exc import OperationalError

from core.db.chunks import Claim, put_back_chunk
from core.db.engine import reading, transaction
from core.db.jobs import read_progress, read_tallies
from core.db.lifecycle import delete_job, request_cancel
from core.db.maintenance import republish, rescue, retention
from core.db.maintenance.erasing import erase_page, list_gone
from core.db.models import LOCAL_TENANT_ID, TERMINAL_STATES, Base, Chunk, ItemState, Job, JobState, Result, Tally
from core.db.retrying import retry_job
from core.errors import ConflictError, DatabaseUnavailableError
from core.messages import CLASSIFY, Message
from tests.support.ledger import LEASE_S, Ledger, outcomes_of

RETENTION_S = 600.0
OUTAGES = st.sampled_from([None, None, None, 0, 1, 2, 3, 5, 8])  # the statement at which the database goes away


@contextmanager
def outage_at(engine: Engine, statement: int | None) -> Iterator[None]:
    """The database goes away at the n-th statement of the block, counted from 0; None: it stays."""
    left = [statement]

    def count(*_: Any) -> None:
        if left[0] == 0:
            raise OperationalError("the database goes away", None, Exception("here"))
        left[0] = None if left[0] is None else left[0] - 1

    event.listen(engine, "before_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", count)


KEPT = ("tenants", "audit_events", "model_events")  # nothing can be removed from the last two: migration 0033


class LedgerMachine(RuleBasedStateMachine):
    """Messages may be delivered never, once, twice, late, and in any order; workers may die at any step."""

    engine: ClassVar[Engine]

    @initialize()
    def open(self) -> None:
        self.ledger = Ledger(self.engine)
        with transaction(self.engine) as session:
            for table in reversed(Base.metadata.sorted_tables):
                if table.name not in KEPT:
                    session.execute(table.delete())
        self.messages: list[Message] = []
        self.claims: list[Claim] = []
        self.submitted = 0
        self.ended: dict[uuid.UUID, JobState] = {}
        self.deleted: set[uuid.UUID] = set()
        self.rows_left: dict[uuid.UUID, int] = {}

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.drive_home()

    def attempt(self, work: Callable[[], Any], outage: int | None) -> Any:
        """What the work returns; None if the database went away in it. Then nothing of it is there."""
        try:
            with outage_at(self.engine, outage):
                return work()
        except DatabaseUnavailableError:
            return None

    @rule(items=st.integers(0, 13), budget=st.sampled_from([None, None, 0.1]))
    def submit(self, items: int, budget: float | None) -> None:
        self.submitted += 1  # ids decide between equal turns: chance must not
        job_id = self.ledger.submit(id=uuid.UUID(int=self.submitted), error_budget=budget, retention_s=RETENTION_S)
        self.messages += self.ledger.prepare(job_id, items=items, chunk_items=3) or []

    @precondition(lambda self: self.messages)
    @rule(data=st.data(), keep=st.booleans(), outage=OUTAGES)
    def deliver(self, data: st.DataObject, keep: bool, outage: int | None) -> None:
        index = data.draw(st.integers(0, len(self.messages) - 1))
        message = self.messages[index] if keep else self.messages.pop(index)
        if message.task == CLASSIFY:
            claim = self.attempt(self.ledger.claim_next, outage)
            self.claims += [claim] if claim else []

    @precondition(lambda self: self.claims)
    @rule(
        data=st.data(),
        again=st.booleans(),
        failing=st.sets(st.integers(0, 13)),
        cut=st.booleans(),
        goes_on=st.booleans(),
        outage=OUTAGES,
    )
    def finish(
        self, data: st.DataObject, *, again: bool, failing: set[int], cut: bool, goes_on: bool, outage: int | None
    ) -> None:
        """As a worker does: the outcomes, and the next claim in the same transaction if its shift goes on."""
        index = data.draw(st.integers(0, len(self.claims) - 1))
        claim = self.claims[index] if again else self.claims.pop(index)
        outcomes = outcomes_of(claim, sorted(failing))
        finished = outcomes[: len(outcomes) // 2] if cut else outcomes
        following = self.attempt(lambda: self.ledger.finish_and_claim(claim, finished, goes_on=goes_on), outage)
        self.claims += [following] if following else []

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        claim = self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))
        with transaction(self.ledger.engine) as session:
            now = self.ledger.clock.now()
            put_back_chunk(session, claim, "serving: away", now, now)

    @precondition(lambda self: self.messages)
    @rule()
    def lose_all_messages(self) -> None:
        self.messages.clear()

    @rule(seconds=st.sampled_from([-30.0, 1.0, 40.0, LEASE_S + 1]), outage=OUTAGES)
    def sweep(self, seconds: float, outage: int | None = None) -> None:
        """After a while, or with a clock that was put back."""
        self.ledger.clock.advance(seconds)
        now = self.ledger.clock.now()

        def duties() -> list[Message]:
            with transaction(self.ledger.engine) as session:
                messages = rescue.rescue_chunks(session, self.ledger.rescue, now)
                messages += republish.top_up_jobs(session, self.ledger.window, now, None)[0]
                return messages + republish.wake_idle(session, self.ledger.window, now, queued=len(self.messages))

        self.messages += self.attempt(duties, outage) or []

    @rule(seconds=st.sampled_from([0.0, RETENTION_S + 1]))
    def expire(self, seconds: float) -> None:
        """Retention removes what ended long enough ago, and nothing else."""
        self.ledger.clock.advance(seconds)
        now = self.ledger.clock.now()
        before = {job.id: job for job in self.jobs()}
        with transaction(self.ledger.engine) as session:
            retention.delete_expired_jobs(session, now)
        for job_id in before.keys() - {job.id for job in self.jobs()}:
            assert before[job_id].state in TERMINAL_STATES
            assert before[job_id].expires_at <= now
            self.forget(job_id)

    @rule(data=st.data(), outage=OUTAGES)
    def delete(self, data: st.DataObject, outage: int | None) -> None:
        jobs = self.jobs()
        if not jobs:
            return
        job = data.draw(st.sampled_from(jobs))

        def remove() -> bool:
            with transaction(self.ledger.engine) as session:
                delete_job(session, LOCAL_TENANT_ID, job.id, self.ledger.clock.now())
            return True

        try:
            if self.attempt(remove, outage):
                self.forget(job.id)
        except ConflictError:
            assert job.state not in TERMINAL_STATES

    def forget(self, job_id: uuid.UUID) -> None:
        """Nobody sees it any more; its rows go later."""
        self.ended.pop(job_id, None)
        self.deleted.add(job_id)
        with reading(self.ledger.engine) as session:
            assert read_progress(session, job_id) is None

    @rule(rows=st.sampled_from([1, 2, 3, 100]), outage=OUTAGES)
    def erase(self, rows: int, outage: int | None) -> None:
        """A page of rows of each deleted job."""

        def page() -> None:
            with transaction(self.ledger.engine) as session:
                for job_id in list_gone(session, 100):
                    erase_page(session, job_id, rows)

        self.attempt(page, outage)

    @invariant()
    def deleted_jobs_only_lose_rows(self) -> None:
        """No late worker adds one, and no row stays behind its job."""
        if not hasattr(self, "ledger"):
            return
        with reading(self.ledger.engine) as session:
            there = set(list_gone(session, 1000))
            assert there <= self.deleted
            for job_id in self.deleted:
                rows = sum(
                    session.scalar(select(func.count()).select_from(table).where(table.job_id == job_id)) or 0
                    for table in (Chunk, Result, Tally)
                )
                assert rows <= self.rows_left.get(job_id, rows)
                assert job_id in there or rows == 0
                self.rows_left[job_id] = rows

    @rule(data=st.data(), cancel=st.booleans())
    def cancel_or_retry(self, data: st.DataObject, cancel: bool) -> None:
        jobs = self.jobs()
        if not jobs:
            return
        job_id = data.draw(st.sampled_from([job.id for job in jobs]))
        with transaction(self.ledger.engine) as session:
            try:
                if cancel:
                    request_cancel(session, LOCAL_TENANT_ID, job_id, self.ledger.clock.now())
                    return
                retry_job(session, LOCAL_TENANT_ID, job_id, self.ledger.clock.now())
            except ConflictError:
                session.rollback()
            else:
                self.ended.pop(job_id, None)

    @invariant()
    def counts_agree_with_rows(self) -> None:
        for job in self.jobs() if hasattr(self, "ledger") else []:
            with reading(self.ledger.engine) as session:
                states = dict(
                    session.execute(
                        select(Result.state, func.count()).where(Result.job_id == job.id).group_by(Result.state)
                    ).all()
                )
                tallies = read_tallies(session, job.id)
            assert job.succeeded == states.get(ItemState.SUCCEEDED, 0) == sum(tallies.labels.values())
            assert job.failed == states.get(ItemState.FAILED, 0) == sum(tallies.errors.values())
            assert job.total == job.remaining + job.succeeded + job.failed
            assert job.state != JobState.SUCCEEDED or job.remaining == 0
            if job.id in self.ended:
                assert job.state == self.ended[job.id], "a terminal state is never left but by retry"
            elif job.state in TERMINAL_STATES:
                self.ended[job.id] = JobState(job.state)

    def jobs(self) -> list[Job]:
        with reading(self.ledger.engine) as session:
            return list(session.scalars(select(Job).where(Job.tenant_id == LOCAL_TENANT_ID)))

    def drive_home(self) -> None:
        """From wherever chance led: sweeps and deliveries alone bring every job to its end."""
        for _ in range(60):
            self.sweep(LEASE_S + 1)
            while self.messages:
                self.messages.pop()
                while claim := self.ledger.claim_next():
                    assert self.ledger.finish(claim)
            if all(job.state in TERMINAL_STATES for job in self.jobs()):
                break
        for job in self.jobs():
            assert job.state in TERMINAL_STATES, f"{job.state} for ever"
        self.counts_agree_with_rows()
        for job_id in self.deleted:
            self.ledger.erase(job_id, rows=2)
        self.deleted_jobs_only_lose_rows()
        assert not any(self.rows_left.values())


def test_the_ledger_machine(engine: Engine) -> None:
    """On each kind of database."""

    class Machine(LedgerMachine):
        pass

    Machine.engine = engine
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
        ),
    )
