"""A ledger in motion for tests: a job's steps through the real queries, with a clock that is moved by hand."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine, func, select

from core.clock import ManualClock
from core.db.chunks import Claim, claim_chunk, claim_next, finish_chunk
from core.db.engine import reading, transaction
from core.db.jobs import NewJob, create_job, get_job
from core.db.maintenance.erasing import erase_page
from core.db.maintenance.rescue import RescuePolicy
from core.db.models import LOCAL_TENANT_ID, Chunk, Job, Result
from core.db.outcomes import ItemOutcome
from core.db.preparing import ChunkPlan, PreparedJob, claim_prepare, start_job
from core.db.window import WindowPolicy
from core.errors import ItemErrorCode
from core.messages import Message

LEASE_S = 90.0


@dataclass
class Ledger:
    """Drives one database through the steps of a job's life."""

    engine: Engine
    clock: ManualClock = field(default_factory=ManualClock)
    window: WindowPolicy = field(default_factory=lambda: WindowPolicy(window=3, republish_s=30))
    max_crashes: int = 2
    max_crashes_alone: int = 4

    @property
    def rescue(self) -> RescuePolicy:
        return RescuePolicy(self.window, self.max_crashes, self.max_crashes_alone)

    def submit(self, **changes: object) -> uuid.UUID:
        fields = {"tenant_id": LOCAL_TENANT_ID, "name": "a.zip", "source": {"kind": "path", "path": "/a.zip"}, "model": "tiny"}
        with transaction(self.engine) as session:
            return create_job(session, NewJob(**{**fields, **changes}), self.clock.now()).id  # type: ignore[arg-type]

    def prepare(self, job_id: uuid.UUID, *, items: int, chunk_items: int = 4) -> list[Message] | None:
        with transaction(self.engine) as session:
            claim = claim_prepare(session, job_id, owner="w/1/1/1", now=self.clock.now(), lease_s=LEASE_S)
        if claim is None:
            return None
        plans = [ChunkPlan(at, min(chunk_items, items - at), at * 10, 10) for at in range(0, items, chunk_items)]
        archive = {"kind": "zip", "where": "storage", "location": "k", "name": "a.zip", "root": ""}
        prepared = PreparedJob(archive=archive, version=7, modelspec={"classes": ["a", "b"]}, skipped=2, chunks=plans)
        with transaction(self.engine) as session:
            return start_job(session, claim, prepared, self.window, self.clock.now())

    def start(self, *, items: int, chunk_items: int = 4, **changes: object) -> uuid.UUID:
        job_id = self.submit(**changes)
        assert self.prepare(job_id, items=items, chunk_items=chunk_items) is not None
        return job_id

    def claim(self, job_id: uuid.UUID, chunk_no: int, owner: str = "w/1/1/1") -> Claim | None:
        with transaction(self.engine) as session:
            return claim_chunk(session, job_id, chunk_no, owner=owner, now=self.clock.now(), lease_s=LEASE_S)

    def claim_next(self, owner: str = "w/1/1/1") -> Claim | None:
        with transaction(self.engine) as session:
            return claim_next(session, owner=owner, now=self.clock.now(), lease_s=LEASE_S)

    def finish(self, claim: Claim, outcomes: Sequence[ItemOutcome] | None = None) -> bool:
        with transaction(self.engine) as session:
            return finish_chunk(session, claim, outcomes_of(claim) if outcomes is None else outcomes, self.clock.now())

    def finish_and_claim(self, claim: Claim, outcomes: Sequence[ItemOutcome], *, goes_on: bool) -> Claim | None:
        """In one transaction, as a worker does within its shift."""
        now = self.clock.now()
        with transaction(self.engine) as session:
            finish_chunk(session, claim, outcomes, now)
            return claim_next(session, owner="w/1/1/1", now=now, lease_s=LEASE_S) if goes_on else None

    def run(self, job_id: uuid.UUID, chunk_no: int) -> bool:
        claim = self.claim(job_id, chunk_no)
        return claim is not None and self.finish(claim)

    def erase(self, job_id: uuid.UUID, rows: int = 1000) -> int:
        """Remove the rows of a deleted job, as the sweep does; returns in how many transactions."""
        for pages in range(1, 10_000):
            with transaction(self.engine) as session:
                if not erase_page(session, job_id, rows):
                    return pages
        raise AssertionError(f"the rows of {job_id} do not end")

    def job(self, job_id: uuid.UUID) -> Job:
        with reading(self.engine) as session:
            return get_job(session, LOCAL_TENANT_ID, job_id)

    def chunks(self, job_id: uuid.UUID) -> list[Chunk]:
        with reading(self.engine) as session:
            return list(session.scalars(select(Chunk).where(Chunk.job_id == job_id).order_by(Chunk.chunk_no)))

    def rows(self, job_id: uuid.UUID) -> int:
        with reading(self.engine) as session:
            return session.scalar(select(func.count()).select_from(Result).where(Result.job_id == job_id)) or 0


def succeeded(number: int) -> ItemOutcome:
    return ItemOutcome(
        number, f"{number}.jpg", label="a", score=0.75, risk=0.25, probabilities=b"\0" * 8, flag=False, width=4, height=3
    )


def broken(number: int, code: ItemErrorCode = ItemErrorCode.TRUNCATED) -> ItemOutcome:
    return ItemOutcome(number, f"{number}.jpg", error_code=code, error="why")


def outcomes_of(claim: Claim, failing: Sequence[int] = ()) -> list[ItemOutcome]:
    return [broken(number) if number in failing else succeeded(number) for number in claim.item_numbers]
