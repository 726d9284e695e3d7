"""The story of prepare: pin the model, list the archive into the job's index, cut it into chunks, open the window.

The index is one object of the storage, a Member a line; each chunk knows its slice of it. So classifying a chunk costs the same
in an archive of a hundred and of a million members, and nothing is extracted.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from core.archives.base import Archive, ArchiveRef
from core.archives.detect import prepare_archive
from core.archives.notes import Notes
from core.archives.open import open_archive
from core.db.engine import retrying_transaction, transaction
from core.db.preparing import (
    ChunkPlan,
    PrepareClaim,
    PreparedJob,
    claim_prepare,
    fail_prepare,
    put_back_prepare,
    renew_prepare,
    start_job,
)
from core.errors import (
    DatabaseUnavailableError,
    JobError,
    JobErrorCode,
    ModelContractError,
    ModelNotFoundError,
    NotFoundError,
    TransientError,
)
from core.imaging import preprocessing_hash
from core.messages import Message
from core.modelspec import ModelSpec
from core.settings import WorkerSettings
from core.storage.base import ObjectWriter
from core.storage.layout import index_key, seekable_key
from core.telemetry.logs import get_logger
from core.telemetry.spans import Kind
from core.telemetry.tracing import current_traceparent, span
from serving.client import Described
from worker.backoff import next_attempt_at
from worker.context import WorkerContext
from worker.telemetry import metrics

log = get_logger(__name__)

DEFAULT_LABEL = "stable"


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
    try:
        with _kept_lease(context, claim):
            prepared = _prepare(context, claim)
    except TransientError as error:
        _put_back(context, claim, error)
        return []
    except (JobError, NotFoundError) as error:
        _fail(context, claim, error)
        return []
    except BaseException:
        _give_back(context, claim)
        raise
    messages = retrying_transaction(
        context.engine, lambda session: start_job(session, claim, prepared, context.window, context.clock.now())
    )
    if messages is None:
        log.warning("job_lease_lost", job_id=str(job_id), attempt=claim.attempt)
        return []
    metrics.JOBS_STARTED.add()
    metrics.PREPARE_SECONDS.observe(time.monotonic() - began)
    log.info("job_started", job_id=str(job_id), items=prepared.total, chunks=len(prepared.chunks), version=prepared.version)
    return messages


def _prepare(context: WorkerContext, claim: PrepareClaim) -> PreparedJob:
    described = _describe(context, claim)
    check_preprocessing(described.spec)
    notes = Notes()
    ref = prepare_archive(claim.source, context.storage, seekable_key(claim.job_id), context.settings, notes=notes)
    archive = open_archive(ref, context.storage, context.settings)
    try:
        with context.storage.writer(index_key(claim.job_id)) as writer:
            columns: dict[str, None] = {}
            chunks = list(plan_chunks(archive, writer, context.settings.worker, columns))
            writer.commit()
        prepared = _prepared(ref, described, archive.skipped, notes.extend(archive.notes), chunks)
        return replace(prepared, metadata_columns=tuple(columns))
    finally:
        archive.close()


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


def plan_chunks(
    archive: Archive, writer: ObjectWriter, settings: WorkerSettings, columns: dict[str, None] | None = None
) -> Iterator[ChunkPlan]:
    """Write the index and cut the members into runs of at most chunk_items items and about chunk_bytes packed bytes.

    The names of the members' metadata are put into `columns`, in the order in which they come.
    """
    first_item = number = offset = length = packed = 0
    for member in archive.members():
        line = member.to_line()
        if columns is not None and member.metadata:
            columns.update(dict.fromkeys(member.metadata))
        full = number - first_item >= settings.chunk_items or packed + member.packed_size > settings.chunk_bytes
        if number > first_item and full:
            yield ChunkPlan(first_item, number - first_item, offset, length)
            first_item, offset, length, packed = number, offset + length, 0, 0
        writer.write(line)
        number += 1
        length += len(line)
        packed += member.packed_size
    if number > first_item:
        yield ChunkPlan(first_item, number - first_item, offset, length)


def _describe(context: WorkerContext, claim: PrepareClaim) -> Described:
    """Resolve version or label once; the job stays pinned to the answer.

    A job that names neither asks for the label `stable`, and for the latest version where the server has no such label.
    """
    if claim.version is not None or claim.label is not None:
        return context.client.describe(claim.model, version=claim.version, label=claim.label)
    try:
        return context.client.describe(claim.model, label=DEFAULT_LABEL)
    except ModelNotFoundError:
        return context.client.describe(claim.model)


def check_preprocessing(spec: ModelSpec) -> None:
    """A wrong row is worse than a late one: pixels must be made as those the model was trained on.

    Raises:
        ModelContractError: this worker's decoder makes other pixels.
    """
    expected = preprocessing_hash(spec.input_height, spec.input_width, spec.resize)
    if spec.preprocessing_hash != expected:
        raise ModelContractError(
            f"model {spec.name}: expected preprocessing {expected} (this worker's decoder), got "
            f"{spec.preprocessing_hash!r} in its spec; its training images were decoded by other rules: train and export it "
            "again with this version of DermQ"
        )


@contextmanager
def _kept_lease(context: WorkerContext, claim: PrepareClaim) -> Iterator[None]:
    """Renew the lease while a long archive is listed, from a thread, as the listing cannot be interrupted for it."""
    stop = threading.Event()
    lease_s = context.settings.worker.lease_s

    def renew() -> None:
        while not stop.wait(lease_s / 3):
            try:
                with transaction(context.engine) as session:
                    if not renew_prepare(session, claim, context.clock.now(), lease_s):
                        return
            except DatabaseUnavailableError as error:
                log.warning("lease_not_renewed", job_id=str(claim.job_id), error=str(error))

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _put_back(context: WorkerContext, claim: PrepareClaim, error: TransientError) -> None:
    due_at = next_attempt_at(context.clock.now(), claim.waits, context.settings.worker)
    metrics.note_backoff("prepare", error)
    log.warning("job_waits", job_id=str(claim.job_id), waits_for=error.waits_for, error=str(error))
    with transaction(context.engine) as session:
        put_back_prepare(session, claim, f"{error.waits_for}: {error}", due_at)


def _give_back(context: WorkerContext, claim: PrepareClaim) -> None:
    with transaction(context.engine) as session:
        put_back_prepare(session, claim, "worker: the one that prepared this job is shutting down", context.clock.now())


def _fail(context: WorkerContext, claim: PrepareClaim, error: JobError | NotFoundError) -> None:
    code = error.code if isinstance(error, JobError) else JobErrorCode.ARCHIVE_GONE
    metrics.JOBS_FAILED.add(code)
    log.error("job_failed", job_id=str(claim.job_id), code=code, error=str(error))
    with transaction(context.engine) as session:
        fail_prepare(session, claim, code, str(error), context.clock.now())
