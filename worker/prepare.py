"""The story of prepare: pin the model, list the archive into the job's index, cut it into chunks, open the window.

The index is one object of the storage, a Member a line; each chunk knows its slice of it. So classifying a chunk costs the same
in an archive of a hundred and of a million members, and nothing is extracted.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import select

from core.archives.base import ArchiveRef
from core.archives.detect import prepare_archive
from core.archives.fetching import fetch_https
from core.archives.notes import Notes
from core.archives.open import open_archive
from core.db.engine import reading, retrying_transaction, transaction
from core.db.models import Job, Tenant
from core.db.preparing import (
    ChunkPlan,
    PrepareClaim,
    PreparedJob,
    claim_prepare,
    fail_prepare,
    note_opening,
    note_prepare_bug,
    put_back_prepare,
    start_job,
)
from core.db.throughput import read_item_seconds
from core.db.tombstones import bury_if_gone
from core.errors import (
    JobError,
    JobErrorCode,
    NotFoundError,
    TransientError,
)
from core.messages import Message
from core.settings import WorkerSettings
from core.storage.layout import fetched_key, index_key, seekable_key
from core.telemetry.logs import get_logger
from core.telemetry.spans import Kind
from core.telemetry.tracing import current_traceparent, span
from serving.client import Described
from serving.versions import check_preprocessing, describe_wanted
from worker.backoff import next_attempt_at
from worker.context import WorkerContext
from worker.interruption import Interruption, give_up, judge, new_error_id, put_down
from worker.listing import leave_one_free
from worker.planning import LEAST_TIMED_ITEMS, cut_tail, items_in_chunk, plan_chunks
from worker.telemetry import metrics

log = get_logger(__name__)

TIMEOUT_TEXT = (
    "listing this archive took longer than the limit of a prepare task; split it, or send it as a ZIP or an uncompressed TAR, "
    "which are listed without reading them whole"
)


def prepare_job(context: WorkerContext, job_id: uuid.UUID) -> list[Message]:
    """Prepare one job, if it is there to be prepared; returns the messages that open its window."""
    began = time.monotonic()
    with transaction(context.engine) as session:
        claim = claim_prepare(
            session, job_id, owner=context.owner, now=context.clock.now(), lease_s=context.settings.worker.lease_s
        )
    if claim is None:
        log.info("job_not_claimed", job_id=str(job_id))
        return []
    with span("prepare", Kind.CONSUMER, claim.traceparent) as traced:
        traced.set({"dermq.job.id": str(job_id), "dermq.model": claim.model})
        return _run(context, claim, began)


def _run(context: WorkerContext, claim: PrepareClaim, began: float) -> list[Message]:
    job_id = claim.job_id
    with context.presence.holding(claim):
        try:
            prepared = _prepare(context, claim)
        except BaseException as error:  # noqa: BLE001 - each kind is dealt with by its own rule; bugs and shutdowns are raised again
            _deal_with(context, claim, give_up(error, claim, context.clock.now()))
            return []
        messages = retrying_transaction(
            context.engine, lambda session: start_job(session, claim, prepared, context.window, context.clock.now())
        )
    if messages is None:
        log.warning("job_lease_lost", job_id=str(job_id), attempt=claim.attempt)
        put_down(context, "job", lambda session: bury_if_gone(session, job_id, context.clock.now()))
        return []
    metrics.JOBS_STARTED.add()
    metrics.PREPARE_SECONDS.observe(time.monotonic() - began)
    log.info("job_started", job_id=str(job_id), items=prepared.total, chunks=len(prepared.chunks), version=prepared.version)
    return messages


def _prepare(context: WorkerContext, claim: PrepareClaim) -> PreparedJob:
    leave_one_free(context, claim)
    described = describe_wanted(context.client, claim.model, claim.version, claim.label)
    check_preprocessing(described.spec)
    put_down(context, "job", lambda session: note_opening(session, claim))
    notes = Notes()
    ref = prepare_archive(_at_hand(context, claim), context.storage, seekable_key(claim.job_id), context.settings, notes=notes)
    archive = open_archive(ref, context.storage, context.settings)
    try:
        with context.storage.writer(index_key(claim.job_id)) as writer:
            columns: dict[str, None] = {}
            sizes = _sizes(context, claim, described)
            chunks = list(plan_chunks(archive, writer, sizes, columns))
            writer.commit()
        chunks = cut_tail(chunks, sizes.concurrency, sizes.chunk_items)
        prepared = _prepared(ref, described, archive.skipped, notes.extend(archive.notes), chunks)
        return replace(prepared, metadata_columns=tuple(columns))
    finally:
        archive.close()


def _at_hand(context: WorkerContext, claim: PrepareClaim) -> dict[str, Any]:
    """The source, or what was fetched of it: an https:// source becomes an object of the storage."""
    if claim.source.get("kind") != "https":
        return claim.source
    url, key = str(claim.source["url"]), fetched_key(claim.job_id)
    with reading(context.engine) as session:
        tenant = session.scalar(select(Tenant.name).join(Job, Job.tenant_id == Tenant.id).where(Job.id == claim.job_id))
    fetch_https(url, tenant or "", key, context.storage, context.settings)
    rest = {name: value for name, value in claim.source.items() if name not in ("kind", "url")}
    return {"kind": "upload", "key": key, "filename": unquote(urlsplit(url).path).rpartition("/")[2] or "archive", **rest}


def _sizes(context: WorkerContext, claim: PrepareClaim, described: Described) -> WorkerSettings:
    """The settings, with as many items in a chunk as this model version takes CHUNK_S for."""
    with reading(context.engine) as session:
        item_s = read_item_seconds(session, claim.model, described.version, LEAST_TIMED_ITEMS)
    settings = context.settings.worker
    return settings.model_copy(update={"chunk_items": items_in_chunk(item_s, settings.chunk_items)})


def _prepared(ref: ArchiveRef, described: Described, skipped: int, notes: Notes, chunks: list[ChunkPlan]) -> PreparedJob:
    return PreparedJob(
        archive=ref.to_json(),
        version=described.version,
        modelspec=described.spec.model_dump(mode="json"),
        skipped=skipped,
        chunks=chunks,
        traceparent=current_traceparent(),
        notes=notes.to_json(),
    )


def _deal_with(context: WorkerContext, claim: PrepareClaim, error: BaseException) -> None:
    """Apply the policy of worker.interruption; raises the error again if it is a bug or a shutdown."""
    match judge(error):
        case Interruption.OUTAGE if isinstance(error, TransientError):
            _put_back(context, claim, error)
        case Interruption.JOB_FAULT if isinstance(error, JobError | NotFoundError):
            _fail(context, claim, error.code if isinstance(error, JobError) else JobErrorCode.ARCHIVE_GONE, str(error))
        case Interruption.TIME_LIMIT:
            _fail(context, claim, JobErrorCode.PREPARE_TIMEOUT, TIMEOUT_TEXT)
        case Interruption.BUG:
            _note_bug(context, claim, error)
            raise error
        case _:
            _give_back(context, claim)
            raise error


def _put_back(context: WorkerContext, claim: PrepareClaim, error: TransientError) -> None:
    now = context.clock.now()
    due_at = next_attempt_at(now, claim.waits, context.settings.worker)
    metrics.note_backoff("prepare", error)
    log.warning("job_waits", job_id=str(claim.job_id), waits_for=error.waits_for, error=str(error))
    put_down(context, "job", lambda session: put_back_prepare(session, claim, f"{error.waits_for}: {error}", due_at, now))


def _give_back(context: WorkerContext, claim: PrepareClaim) -> None:
    reason, now = "worker: the one that prepared this job is shutting down", context.clock.now()
    put_down(context, "job", lambda session: put_back_prepare(session, claim, reason, now, now))


def _note_bug(context: WorkerContext, claim: PrepareClaim, error: BaseException) -> None:
    error_id, now = new_error_id(), context.clock.now()
    due_at = next_attempt_at(now, claim.bugs, context.settings.worker)
    log.error("job_bug", job_id=str(claim.job_id), error_id=error_id, bugs=claim.bugs + 1, exc_info=error)
    max_bugs = 2 * context.settings.worker.max_bugs
    put_down(context, "job", lambda session: note_prepare_bug(session, claim, error_id, due_at, now, max_bugs=max_bugs))


def _fail(context: WorkerContext, claim: PrepareClaim, code: JobErrorCode, message: str) -> None:
    metrics.JOBS_FAILED.add(code)
    log.error("job_failed", job_id=str(claim.job_id), code=code, error=message)
    now = context.clock.now()
    put_down(context, "job", lambda session: fail_prepare(session, claim, code, message, now))
