"""Runs failed items of an ended job again, page by page, so that no transaction is long however many they are.

The first page is taken in the transaction that starts the job again. While pages are left, the job remembers where the next one
begins (`Job.reopening`), and neither succeeds nor fails by its error budget. Whoever began the retry takes the other pages. If
that process dies, the sweep takes them.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import Session

from core.db.lifecycle import enter_state, lock_job, settle_job
from core.db.models import TERMINAL_STATES, Chunk, ChunkState, ItemState, Job, JobState, Result
from core.db.outcomes import add_tallies
from core.db.turns import enter_turns
from core.db.window import WindowPolicy, open_window
from core.errors import ConflictError
from core.messages import Message

PAGE_ITEMS = 5000  # failed items in one transaction


@dataclass(frozen=True, slots=True)
class Repin:
    """The version that the rest of a job runs on instead of the one it was pinned to."""

    version: int
    modelspec: dict[str, Any]


def retry_job(
    session: Session,
    tenant_id: uuid.UUID,
    job_id: uuid.UUID,
    now: datetime,
    codes: Collection[str] | None = None,
    *,
    repin: Repin | None = None,
    page_items: int = PAGE_ITEMS,
) -> Job:
    """Run failed items again: all of them and whatever never ran, or only those with the given error codes.

    Takes the first page of the items. Where `reopening` is set on the job afterwards, `continue_retry` takes the others.

    Args:
        session: its transaction is to be rolled back on an error.
        tenant_id: whose job.
        job_id: an ended one.
        now: the present.
        codes: only items that failed with one of these.
        repin: run them on another version; rows that are there keep the version that saw them.
        page_items: failed items in one transaction.

    Raises:
        NotFoundError: no such job.
        ConflictError: the job has not ended, nothing of it can be retried, or the other version's rows would not mean the same.
    """
    job = lock_job(session, tenant_id, job_id)
    if job.state not in TERMINAL_STATES:
        raise ConflictError(f"job {job_id} is {job.state}: expected an ended job; wait for it or cancel it first")
    job.error_code = job.error = None
    for stamp in ("cancelling_at", "succeeded_at", "failed_at", "cancelled_at"):
        setattr(job, stamp, None)
    if repin is not None:
        _repin(job, repin)
    if job.archive is None:  # it failed before its archive was listed: start from the beginning
        job.attempt += 1
        job.crashes = job.bugs = 0
        job.due_at = now
        enter_state(job, JobState.QUEUED, now)
        return job
    reopened = _reopen_dropped_chunks(session, job_id) if codes is None else 0
    job.reopening = {"codes": None if codes is None else sorted(codes), "next": 0}
    again = _reopen_page(session, job, page_items)
    if not reopened and not again:
        wanted = f" with codes {sorted(codes)}" if codes else ""
        raise ConflictError(f"job {job_id} has no failed items{wanted} to retry")
    enter_turns(session, job)
    enter_state(job, JobState.RUNNING, now)
    session.flush()
    return job


def continue_retry(
    session: Session, job_id: uuid.UUID, policy: WindowPolicy, now: datetime, *, page_items: int = PAGE_ITEMS
) -> tuple[list[Message], bool]:
    """Take the next page of a retry.

    Returns:
        Messages to send after the commit, and whether pages are left. A job that was cancelled meanwhile has none.
    """
    job = session.scalar(select(Job).where(Job.id == job_id).with_for_update())
    if job is None or job.state != JobState.RUNNING or job.reopening is None:
        return [], False
    _reopen_page(session, job, page_items)
    job.revision += 1
    settle_job(session, job, now)
    session.flush()
    return open_window(session, job, policy, now), job.reopening is not None


def _repin(job: Job, repin: Repin) -> None:
    """Pin an ended job to another version.

    Raises:
        ConflictError: its classes or their risk are others: rows of one job must mean the same.
    """
    if job.modelspec is None:  # it never started: prepare asks for this very version
        job.requested_label, job.requested_version = None, repin.version
        return
    for key in ("classes", "malignant"):
        old, new = list(job.modelspec.get(key, ())), list(repin.modelspec.get(key, ()))
        if old != new:
            raise ConflictError(
                f"job {job.id} cannot go on with {job.model} version {repin.version}: expected its {key} to be {old} as in "
                f"version {job.version}, got {new}; submit the images again as a new job"
            )
    job.version, job.modelspec = repin.version, repin.modelspec


def _reopen_dropped_chunks(session: Session, job_id: uuid.UUID) -> int:
    """Chunks dropped by a cancel or an exhausted budget wait again; their items are still in `remaining`."""
    reopened = session.execute(
        update(Chunk)
        .where(Chunk.job_id == job_id, Chunk.state == ChunkState.CANCELLED)
        .values(state=ChunkState.PENDING, crashes=0, bugs=0, waits=0, publishes=0, due_at=None)
        .returning(Chunk.chunk_no),
        execution_options={"synchronize_session": False},
    )
    return len(reopened.all())


def _reopen_page(session: Session, job: Job, page_items: int) -> int:
    """Take the next page of failed rows back and make new chunks of their items; returns how many items."""
    assert job.reopening is not None  # noqa: S101 - the callers set it, or ask
    chosen = _chosen(job, job.reopening)
    query = select(Result.item_no, Result.error_code).where(*chosen).order_by(Result.item_no).limit(page_items)
    rows = session.execute(query).all()
    numbers = [number for number, _ in rows]
    done = job.succeeded + job.failed - len(numbers)
    job.done_before = done if job.reopening["next"] == 0 else (job.done_before or 0) - len(numbers)
    _make_chunks(session, job, numbers)
    if numbers:
        session.execute(
            delete(Result).where(*chosen, Result.item_no <= numbers[-1]), execution_options={"synchronize_session": False}
        )
    counts = Counter(code for _, code in rows)
    add_tallies(session, job.id, Counter({("error", str(code)): -count for code, count in counts.items()}))
    job.failed -= len(numbers)
    job.remaining += len(numbers)
    left = len(numbers) == page_items and session.scalar(
        select(exists().where(*_chosen(job, {**job.reopening, "next": numbers[-1] + 1})))
    )
    job.reopening = {**job.reopening, "next": numbers[-1] + 1} if left else None
    return len(numbers)


def _chosen(job: Job, reopening: dict[str, Any]) -> list[ColumnElement[bool]]:
    chosen = [Result.job_id == job.id, Result.state == ItemState.FAILED, Result.item_no >= reopening["next"]]
    if reopening["codes"] is not None:
        chosen.append(Result.error_code.in_(reopening["codes"]))
    return chosen


def _make_chunks(session: Session, job: Job, numbers: list[int]) -> None:
    """Chunks that pick these items, in ascending order."""
    for origin, picked in _group_by_chunk(session, job.id, numbers):
        session.add(
            Chunk(
                job_id=job.id,
                chunk_no=job.chunk_count,
                first_item=origin.first_item,
                item_count=origin.item_count,
                picked=picked,
                index_first_item=origin.index_first_item,
                index_offset=origin.index_offset,
                index_length=origin.index_length,
                state=ChunkState.PENDING,
            )
        )
        job.chunk_count += 1
    session.flush()


def _group_by_chunk(session: Session, job_id: uuid.UUID, numbers: list[int]) -> Iterator[tuple[Chunk, list[int]]]:
    """Pair ascending item numbers with the widest chunk that covers them; later, narrower chunks of a range are passed over."""
    if not numbers:
        return
    chunks = session.scalars(
        select(Chunk)
        .where(Chunk.job_id == job_id, Chunk.first_item <= numbers[-1], Chunk.first_item + Chunk.item_count > numbers[0])
        .order_by(Chunk.first_item, Chunk.item_count.desc(), Chunk.chunk_no)
    ).all()
    position = 0
    for chunk in chunks:
        end = chunk.first_item + chunk.item_count
        start = position
        while position < len(numbers) and numbers[position] < end:
            position += 1
        if position > start:
            yield chunk, numbers[start:position]
