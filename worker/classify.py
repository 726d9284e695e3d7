"""The story of a chunk: claim it, decode and predict its items, commit the outcomes with "done", wake the next chunk.

What can go wrong on the way, and what it means:
- an image: a coded outcome, nothing else;
- a dependency (Serving, storage, database) is unavailable: the chunk waits and is put back, no attempt counts, no item fails;
- the job as a whole (its archive or its model version is gone): the job fails and says why;
- this process: the lease runs out, or the sweeper sees that the process is dead, and the chunk runs elsewhere;
- the soft time limit or a shutdown: what is finished is committed, the rest waits for another task.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace

from celery.exceptions import SoftTimeLimitExceeded

from core.archives.base import Member
from core.db.chunks import ChunkTiming, Claim, claim_chunk, fail_chunk_job, finish_chunk, is_wanted, put_back_chunk
from core.db.engine import reading, retrying_transaction, transaction
from core.db.outcomes import ItemOutcome
from core.errors import ItemErrorCode, JobError, JobErrorCode, NotFoundError, TransientError
from core.modelspec import ModelSpec
from core.telemetry.logs import get_logger
from core.telemetry.spans import Kind
from core.telemetry.tracing import span
from worker.backoff import next_attempt_at
from worker.batches import BatchDecoder
from worker.context import WorkerContext
from worker.prediction import Predictor
from worker.telemetry import metrics
from worker.telemetry.metrics import ChunkEnd
from worker.telemetry.stopwatch import Stopwatch

log = get_logger(__name__)


class _NothingFinishedError(TransientError):
    """The soft time limit struck before the first outcome, and no single image is to blame."""

    waits_for = "worker"


def classify_chunk(context: WorkerContext, job_id: uuid.UUID, chunk_no: int) -> None:
    """Run one chunk, if it is there to be run."""
    stopwatch = Stopwatch()
    claim = _claim(context, job_id, chunk_no)
    stopwatch.claim_s = stopwatch.busy_s()
    if claim is None:
        metrics.CHUNKS.add(ChunkEnd.NOT_CLAIMED)
        log.info("chunk_not_claimed", job_id=str(job_id), chunk_no=chunk_no)
        return
    with span("classify", Kind.CONSUMER, claim.traceparent) as traced:
        traced.set({"dermq.job.id": str(job_id), "dermq.chunk.no": chunk_no, "dermq.chunk.attempt": claim.attempt})
        _run(context, claim, stopwatch)
        traced.set({f"dermq.{stage}_s": round(seconds, 6) for stage, seconds in stopwatch.stages().items()})


def _run(context: WorkerContext, claim: Claim, stopwatch: Stopwatch) -> None:
    job_id, chunk_no = claim.job_id, claim.chunk_no
    outcomes: list[ItemOutcome] = []
    members: dict[int, Member] = {}
    try:
        _collect_outcomes(context, claim, members, outcomes, stopwatch)
    except _NothingFinishedError as error:
        _put_back(context, claim, error)
        return
    except TransientError as error:
        context.archives.forget(job_id)
        if not outcomes:
            _put_back(context, claim, error)
            return
        metrics.note_away(error)
        log.warning("chunk_interrupted", job_id=str(job_id), chunk_no=chunk_no, waits_for=error.waits_for, error=str(error))
    except (JobError, NotFoundError) as error:
        context.archives.forget(job_id)
        _fail_job(context, claim, error)
        return
    except BaseException:
        # A shutdown gives the chunk back. Past the soft limit it is the hard limit that ends this process: that counts as a
        # death of the worker, or an image that hangs would be handed round for ever.
        if stopwatch.busy_s() < context.settings.worker.soft_limit_s:
            _give_back(context, claim)
        raise
    _finish(context, claim, [_with_metadata(outcome, members) for outcome in outcomes], stopwatch)


def _with_metadata(outcome: ItemOutcome, members: Mapping[int, Member]) -> ItemOutcome:
    """What a table says of an image stands in its row, whatever became of it."""
    metadata = members[outcome.item_no].metadata
    return replace(outcome, metadata=metadata) if metadata else outcome


def _claim(context: WorkerContext, job_id: uuid.UUID, chunk_no: int) -> Claim | None:
    with transaction(context.engine) as session:
        return claim_chunk(
            session,
            job_id,
            chunk_no,
            owner=context.owner,
            now=context.clock.now(),
            lease_s=context.settings.worker.lease_s,
        )


def _collect_outcomes(
    context: WorkerContext,
    claim: Claim,
    found: dict[int, Member],
    outcomes: list[ItemOutcome],
    stopwatch: Stopwatch,
) -> None:
    """Append outcomes as they come, so that whoever interrupts finds the finished ones; `found` takes all members, by item."""
    settings = context.settings
    spec = ModelSpec.model_validate(claim.modelspec)
    job = context.archives.get(claim)
    members = list(job.members(claim))
    found.update(members)
    if len(members) == 1 and claim.crashes >= settings.worker.max_crashes:
        number, member = members[0]
        outcomes.append(ItemOutcome(number, member.name, error_code=ItemErrorCode.DECODER_CRASH, error=_blame(claim)))
        return
    decoder = BatchDecoder(job.archive, spec, settings.image, settings.worker.batch_items, stopwatch)
    predictor = Predictor(context.client, claim.model, claim.version, spec, stopwatch)
    try:
        for batch in decoder.batches(members):
            with reading(context.engine) as session:
                if not is_wanted(session, claim.job_id):
                    log.info("chunk_unwanted", job_id=str(claim.job_id), chunk_no=claim.chunk_no)
                    break
            outcomes.extend(predictor.submit(batch))
        outcomes.extend(predictor.drain())
    except SoftTimeLimitExceeded as error:
        culprit = decoder.blame_current(settings.worker.soft_limit_s / 2)
        outcomes.extend([culprit] if culprit else [])
        log.warning("chunk_soft_limit", job_id=str(claim.job_id), chunk_no=claim.chunk_no, finished=len(outcomes))
        if not outcomes:
            raise _NothingFinishedError(
                f"no item of chunk {claim.chunk_no} was finished within {settings.worker.soft_limit_s:g} s; give it longer "
                "(DERMQ_WORKER_SOFT_LIMIT_S), or look at what keeps Serving or the storage busy"
            ) from error
    finally:
        predictor.cancel()


def _blame(claim: Claim) -> str:
    return (
        f"the process that decoded this image died or hung {claim.crashes} times, with no other image in the chunk; "
        "look at the file by itself, or convert it anew"
    )


def _finish(context: WorkerContext, claim: Claim, outcomes: list[ItemOutcome], stopwatch: Stopwatch) -> None:
    timing = ChunkTiming(stopwatch.predict_wait_s, stopwatch.starved_s())
    with stopwatch.committing():
        messages = retrying_transaction(
            context.engine,
            lambda session: finish_chunk(session, claim, outcomes, context.window, context.clock.now(), timing=timing),
        )
    if messages is None:
        metrics.CHUNKS.add(ChunkEnd.LEASE_LOST)
        log.warning("chunk_lease_lost", job_id=str(claim.job_id), chunk_no=claim.chunk_no, attempt=claim.attempt)
        return
    metrics.note_chunk(stopwatch, outcomes, ChunkEnd.FINISHED if len(outcomes) == len(claim.item_numbers) else ChunkEnd.PARTIAL)
    context.publish(messages)
    log.info("chunk_finished", job_id=str(claim.job_id), chunk_no=claim.chunk_no, items=len(outcomes))


def _put_back(context: WorkerContext, claim: Claim, error: TransientError) -> None:
    now = context.clock.now()
    due_at = next_attempt_at(now, claim.waits, context.settings.worker)
    metrics.CHUNKS.add(ChunkEnd.WAITING)
    metrics.note_backoff("classify", error)
    log.warning("chunk_waits", job_id=str(claim.job_id), chunk_no=claim.chunk_no, waits_for=error.waits_for, error=str(error))
    with transaction(context.engine) as session:
        put_back_chunk(session, claim, f"{error.waits_for}: {error}", due_at, now)


def _give_back(context: WorkerContext, claim: Claim) -> None:
    """This process is going down: let another one have the chunk at once."""
    metrics.CHUNKS.add(ChunkEnd.GIVEN_BACK)
    now = context.clock.now()
    with transaction(context.engine) as session:
        put_back_chunk(session, claim, "worker: the one that held this chunk is shutting down", now, now)


def _fail_job(context: WorkerContext, claim: Claim, error: JobError | NotFoundError) -> None:
    code = error.code if isinstance(error, JobError) else JobErrorCode.ARCHIVE_GONE
    metrics.CHUNKS.add(ChunkEnd.JOB_FAILED)
    metrics.JOBS_FAILED.add(code)
    log.error("job_failed", job_id=str(claim.job_id), code=code, error=str(error))
    with transaction(context.engine) as session:
        fail_chunk_job(session, claim, code, str(error), context.clock.now())
