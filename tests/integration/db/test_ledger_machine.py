"""A state machine over submit, run, crash, redeliver, cancel, retry and sweep against the real ledger.

Whatever the order, at the end every job that was not cancelled has each row exactly once, and counts that agree with its rows.
"""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import func, select

from core.db.chunks import Claim, put_back_chunk
from core.db.engine import open_engine, reading, transaction
from core.db.jobs import read_tallies
from core.db.lifecycle import request_cancel
from core.db.maintenance import republish, rescue
from core.db.models import LOCAL_TENANT_ID, TERMINAL_STATES, ItemState, Job, JobState, Result
from core.db.retrying import retry_job
from core.db.schema.migrate import upgrade
from core.errors import ConflictError
from core.messages import CLASSIFY, Message
from core.settings import DatabaseSettings
from tests.support.databases import without_syncing
from tests.support.ledger import LEASE_S, Ledger, outcomes_of


class LedgerMachine(RuleBasedStateMachine):
    """Messages may be delivered never, once, twice, late, and in any order; workers may die at any step."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        url = f"sqlite:///{Path(self.folder.name) / 'ledger.db'}"
        engine = without_syncing(open_engine(url, DatabaseSettings()))
        upgrade(engine)
        self.ledger = Ledger(engine)
        self.messages: list[Message] = []
        self.claims: list[Claim] = []
        self.ended: dict[uuid.UUID, JobState] = {}

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.drive_home()
            self.ledger.engine.dispose()
            self.folder.cleanup()

    @rule(items=st.integers(0, 13), budget=st.sampled_from([None, None, 0.1]))
    def submit(self, items: int, budget: float | None) -> None:
        job_id = self.ledger.submit(error_budget=budget)
        self.messages += self.ledger.prepare(job_id, items=items, chunk_items=3) or []

    @precondition(lambda self: self.messages)
    @rule(data=st.data(), keep=st.booleans())
    def deliver(self, data: st.DataObject, keep: bool) -> None:
        index = data.draw(st.integers(0, len(self.messages) - 1))
        message = self.messages[index] if keep else self.messages.pop(index)
        if message.task == CLASSIFY:
            claim = self.ledger.claim(uuid.UUID(str(message.args[0])), int(message.args[1]))
            self.claims += [claim] if claim else []

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), again=st.booleans(), failing=st.sets(st.integers(0, 13)), cut=st.booleans())
    def finish(self, data: st.DataObject, again: bool, failing: set[int], cut: bool) -> None:
        index = data.draw(st.integers(0, len(self.claims) - 1))
        claim = self.claims[index] if again else self.claims.pop(index)
        outcomes = outcomes_of(claim, sorted(failing))
        self.messages += self.ledger.finish(claim, outcomes[: len(outcomes) // 2] if cut else outcomes) or []

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

    @rule(seconds=st.sampled_from([1.0, 40.0, LEASE_S + 1]))
    def sweep(self, seconds: float) -> None:
        self.ledger.clock.advance(seconds)
        with transaction(self.ledger.engine) as session:
            now = self.ledger.clock.now()
            self.messages += rescue.rescue_chunks(session, self.ledger.rescue, now)
            self.messages += republish.republish_chunks(session, self.ledger.window, now, lost_since=None)
            self.messages += republish.top_up_jobs(session, self.ledger.window, now, None)[0]

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
                labels, errors, _ = read_tallies(session, job.id)
            assert job.succeeded == states.get(ItemState.SUCCEEDED, 0) == sum(labels.values())
            assert job.failed == states.get(ItemState.FAILED, 0) == sum(errors.values())
            assert job.total == job.remaining + job.succeeded + job.failed
            assert job.state != JobState.SUCCEEDED or job.remaining == 0
            if job.id in self.ended:
                assert job.state == self.ended[job.id], "a terminal state is never left but by retry"
            elif job.state in TERMINAL_STATES:
                self.ended[job.id] = JobState(job.state)

    def jobs(self) -> list[Job]:
        with reading(self.ledger.engine) as session:
            return list(session.scalars(select(Job)))

    def drive_home(self) -> None:
        """From wherever chance led: sweeps and deliveries alone bring every job to its end."""
        for _ in range(60):
            self.sweep(LEASE_S + 1)
            while self.messages:
                message = self.messages.pop()
                claim = self.ledger.claim(uuid.UUID(str(message.args[0])), int(message.args[1]))
                self.messages += (self.ledger.finish(claim) or []) if claim else []
            if all(job.state in TERMINAL_STATES for job in self.jobs()):
                break
        for job in self.jobs():
            assert job.state in TERMINAL_STATES, f"{job.state} for ever"
        self.counts_agree_with_rows()


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
