"""The story of a chunk: claim it, decode and predict its items, commit the outcomes and, in one with them, the next claim.

What can go wrong on the way, and what it means:
- an image: a coded outcome, nothing else;
- everything else that interrupts it: see worker.interruption;
- another job's turn, and the soft time limit: what is finished is committed, the rest waits for its own next turn.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy.orm import Session

from core.archives.base import Member
from core.db.chunks import ChunkTiming, Claim, claim_chunk, claim_next, fail_chunk_job, finish_chunk, note_bug, put_back_chunk
from core.db.engine import reading, retrying_transaction, transaction
from core.db.outcomes import ItemOutcome
from core.db.turns import any_claimable
from core.errors import ItemErrorCode, JobError, JobErrorCode, NotFoundError, TransientError
from core.messages import classify_message
from core.modelspec import ModelSpec
from core.settings import WorkerSettings
from core.telemetry.logs import get_logger
from core.telemetry.spans import Kind
from core.telemetry.tracing import span
from worker.backoff import next_attempt_at
from worker.batches import BatchDecoder
from worker.batchsize import batch_images
from worker.context import WorkerContext
from worker.interruption import Interruption, TimeLimitError, give_up, judge, new_error_id, put_down
from worker.prediction import Predictor
from worker.shift import Shift
from worker.telemetry import metrics
from worker.telemetry.metrics import ChunkEnd
from worker.telemetry.stopwatch import Stopwatch

log = get_logger(__name__)

# What Serving says of a pinned version. One of several replicas, or one that begins anew, may say so for a moment.
_SAID_BY_SERVING = frozenset({JobErrorCode.UNKNOWN_MODEL, JobErrorCode.MODEL_CONTRACT, JobErrorCode.SERVING_ERROR})


@dataclass(slots=True)
class Run:
    """A claimed chunk in work."""

    claim: Claim
    stopwatch: Stopwatch
    shift: Shift
    outcomes: list[ItemOutcome] = field(default_factory=list)
    members: dict[int, Member] = field(default_factory=dict)  # by item


def take_turns(context: WorkerContext) -> None:
    """One wake-up's work: chunk after chunk, each one whose turn it is, until none is left or the shift is over.

    A shift is short, so that Celery sees what waits in its queues (a job to be prepared, a sweep), and that the time limits of
    a task are those of a chunk. Whoever ends a shift while there are chunks sends the next wake-up.
    """
    shift = Shift()
    run = _claim_first(context, shift)
    while run is not None:
        run = run_chunk(context, run)
    if shift.passes_on:
        _pass_on(context)


def classify_chunk(context: WorkerContext, job_id: uuid.UUID, chunk_no: int) -> None:
    """Run this very chunk, if it is there to be run."""
    stopwatch, lease_s = Stopwatch(), context.settings.worker.lease_s
    with transaction(context.engine) as session:
        claim = claim_chunk(session, job_id, chunk_no, owner=context.owner, now=context.clock.now(), lease_s=lease_s)
    stopwatch.claim_s = stopwatch.busy_s()
    if claim is not None:
        run_chunk(context, Run(claim, stopwatch, Shift(length_s=0.0)))


def run_chunk(context: WorkerContext, run: Run) -> Run | None:
    """Run a claimed chunk; returns the next one, claimed, if the shift goes on and there is one."""
    claim = run.claim
    with span("classify", Kind.CONSUMER, claim.traceparent) as traced:
        traced.set({"dermq.job.id": str(claim.job_id)})
        traced.set({"dermq.chunk.no": claim.chunk_no, "dermq.chunk.attempt": claim.attempt})
        following = _run(context, run)
        traced.set({f"dermq.{stage}_s": round(seconds, 6) for stage, seconds in run.stopwatch.stages().items()})
    return following


def _claim_first(context: WorkerContext, shift: Shift) -> Run | None:
    stopwatch = Stopwatch()
    with transaction(context.engine) as session:
        claim = _claim_next(context, session)
    stopwatch.claim_s = stopwatch.busy_s()
    if claim is None:
        metrics.CHUNKS.add(ChunkEnd.NOT_CLAIMED)
        log.debug("no_chunk_to_claim")
        return None
    return Run(claim, stopwatch, shift)


def _claim_next(context: WorkerContext, session: Session) -> Claim | None:
    return claim_next(session, owner=context.owner, now=context.clock.now(), lease_s=context.settings.worker.lease_s)


def _pass_on(context: WorkerContext) -> None:
    """Wake another process, or this one anew, if there are chunks to be taken."""
    with reading(context.engine) as session:
        is_left = any_claimable(session, context.clock.now())
    if is_left:
        context.publish([classify_message()])


def _run(context: WorkerContext, run: Run) -> Run | None:
    waits_for: str | None = None
    with context.presence.holding(run.claim):
        try:
            _collect_outcomes(context, run)
        except BaseException as error:  # noqa: BLE001 - each kind is dealt with by its own rule; bugs and shutdowns are raised again
            run.shift.note_interruption()
            if not _deal_with(context, run, give_up(error, run.claim, context.clock.now())):
                return None if run.shift.is_over else _claim_first(context, run.shift)
            waits_for = f"{error.waits_for}: {error}" if isinstance(error, TransientError) else None
        return _finish(context, run, waits_for)


def _deal_with(context: WorkerContext, run: Run, error: BaseException) -> bool:
    """Apply the policy of worker.interruption; True if there are finished outcomes to commit."""
    claim = run.claim
    context.archives.forget(claim.job_id)
    match judge(error):
        case Interruption.OUTAGE if run.outcomes and isinstance(error, TransientError):
            metrics.note_away(error)
            log.warning("chunk_interrupted", **_names(claim), waits_for=error.waits_for, error=str(error))
            return True
        case Interruption.OUTAGE if isinstance(error, TransientError):
            _put_back(context, claim, error)
        case Interruption.TIME_LIMIT:
            _put_back(context, claim, _time_limit(claim))
        case Interruption.JOB_FAULT if isinstance(error, JobError | NotFoundError):
            if claim.bugs == 0 and isinstance(error, JobError) and error.code in _SAID_BY_SERVING:
                _ask_again(context, claim, error)
            else:
                _fail_job(context, claim, error)
        case Interruption.BUG:
            _note_bug(context, claim, error)
            raise error
        case _:
            # A shutdown gives the chunk back. Past the soft limit it is the hard limit that ends this process: that counts as
            # a death of the worker, or an image that hangs would be handed round for ever.
            if run.stopwatch.busy_s() < context.settings.worker.soft_limit_s:
                _give_back(context, claim)
            raise error
    return False


def _names(claim: Claim) -> dict[str, object]:
    return {"job_id": str(claim.job_id), "chunk_no": claim.chunk_no}


def _time_limit(claim: Claim) -> TimeLimitError:
    return TimeLimitError(
        f"no item of chunk {claim.chunk_no} was finished within the soft limit; give it longer (DERMQ_WORKER_SOFT_LIMIT_S), or "
        "look at what keeps Serving or the storage busy"
    )


def _with_metadata(outcome: ItemOutcome, members: Mapping[int, Member]) -> ItemOutcome:
    """What a table says of an image stands in its row, whatever became of it."""
    metadata = members[outcome.item_no].metadata
    return replace(outcome, metadata=metadata) if metadata else outcome


def _collect_outcomes(context: WorkerContext, run: Run) -> None:
    """Append outcomes as they come, so that whoever interrupts finds the finished ones; `run.members` takes all members."""
    settings, claim, outcomes, stopwatch = context.settings, run.claim, run.outcomes, run.stopwatch
    spec = ModelSpec.model_validate(claim.modelspec)
    job = context.archives.get(claim)
    members = list(job.members(claim))
    run.members.update(members)
    if len(members) == 1 and (verdict := _verdict_on_one(claim, settings.worker)):
        number, member = members[0]
        outcomes.append(ItemOutcome(number, member.name, error_code=verdict[0], error=verdict[1]))
        return
    images = batch_images(spec, settings.worker.batch_items)
    decoder = BatchDecoder(job.archive, spec, settings.image, images, stopwatch)
    predictor = Predictor(context.client, claim.model, claim.version, spec, stopwatch, limits=context.batch_limits)
    try:
        for batch in decoder.batches(members):
            outlook = run.shift.look_around(context, claim, stopwatch)
            if not outlook.wanted:
                log.info("chunk_unwanted", **_names(claim))
                break
            outcomes.extend(predictor.submit(batch))
            if outlook.gives_way:
                log.debug("chunk_gives_way", **_names(claim))
                break
        outcomes.extend(predictor.drain())
    except SoftTimeLimitExceeded:
        culprit = decoder.blame_current(settings.worker.soft_limit_s / 2)
        outcomes.extend([culprit] if culprit else [])
        log.warning("chunk_soft_limit", **_names(claim), finished=len(outcomes))
        if not outcomes:
            raise
    finally:
        predictor.cancel()


def _verdict_on_one(claim: Claim, settings: WorkerSettings) -> tuple[ItemErrorCode, str] | None:
    """An image that stood alone when its process died, or when an unforeseen error came, so often that it is given up."""
    if claim.crashes >= settings.max_crashes_alone:
        return ItemErrorCode.DECODER_CRASH, (
            f"the process that decoded this image died or hung {claim.crashes} times, with no other image in the chunk; "
            "look at the file by itself, or convert it anew"
        )
    if claim.bugs >= settings.max_bugs:
        return ItemErrorCode.INTERNAL_ERROR, (
            f"DermQ met an error that it does not know {claim.bugs} times on this image; the worker's log has it as "
            "`chunk_bug` with this job's id: please report it"
        )
    return None


def _finish(context: WorkerContext, run: Run, waits_for: str | None) -> Run | None:
    """Commit the outcomes and, in the same transaction, claim the next chunk if the shift goes on."""
    claim, stopwatch = run.claim, run.stopwatch
    outcomes = [_with_metadata(outcome, run.members) for outcome in run.outcomes]
    timing = ChunkTiming(stopwatch.predict_wait_s, stopwatch.starved_s())
    goes_on = not run.shift.is_over

    def work(session: Session) -> tuple[bool, Claim | None]:
        finished = finish_chunk(session, claim, outcomes, context.clock.now(), timing=timing, waiting_for=waits_for)
        return finished, _claim_next(context, session) if goes_on else None

    with stopwatch.committing():
        finished, following = retrying_transaction(context.engine, work)
    if finished:
        is_whole = len(outcomes) == len(claim.item_numbers)
        metrics.note_chunk(stopwatch, outcomes, ChunkEnd.FINISHED if is_whole else ChunkEnd.PARTIAL)
        log.info("chunk_finished", **_names(claim), items=len(outcomes))
    else:
        metrics.CHUNKS.add(ChunkEnd.LEASE_LOST)
        log.warning("chunk_lease_lost", **_names(claim), attempt=claim.attempt)
    return Run(following, Stopwatch(), run.shift) if following else None


def _put_back(context: WorkerContext, claim: Claim, error: TransientError) -> None:
    now = context.clock.now()
    due_at = next_attempt_at(now, claim.waits, context.settings.worker)
    metrics.CHUNKS.add(ChunkEnd.WAITING)
    metrics.note_backoff("classify", error)
    log.warning("chunk_waits", **_names(claim), waits_for=error.waits_for, error=str(error))
    put_down(context, "chunk", lambda session: put_back_chunk(session, claim, f"{error.waits_for}: {error}", due_at, now))


def _give_back(context: WorkerContext, claim: Claim) -> None:
    """This process is going down: let another one have the chunk at once."""
    metrics.CHUNKS.add(ChunkEnd.GIVEN_BACK)
    now = context.clock.now()
    reason = "worker: the one that held this chunk is shutting down"
    put_down(context, "chunk", lambda session: put_back_chunk(session, claim, reason, now, now))


def _note_bug(context: WorkerContext, claim: Claim, error: BaseException) -> None:
    error_id, now = new_error_id(), context.clock.now()
    due_at = next_attempt_at(now, claim.bugs, context.settings.worker)
    metrics.CHUNKS.add(ChunkEnd.BUG)
    log.error("chunk_bug", **_names(claim), error_id=error_id, bugs=claim.bugs + 1, exc_info=error)
    max_bugs = context.settings.worker.max_bugs
    put_down(context, "chunk", lambda session: note_bug(session, claim, error_id, due_at, now, max_bugs=max_bugs))


def _ask_again(context: WorkerContext, claim: Claim, error: JobError) -> None:
    """The first time that Serving says so: counted as a bug is, and asked again after a back-off."""
    now = context.clock.now()
    metrics.CHUNKS.add(ChunkEnd.WAITING)
    log.warning("chunk_asks_again", **_names(claim), code=error.code, error=str(error))
    due_at, max_bugs = next_attempt_at(now, 0, context.settings.worker), context.settings.worker.max_bugs
    put_down(context, "chunk", lambda session: note_bug(session, claim, new_error_id(), due_at, now, max_bugs=max_bugs))


def _fail_job(context: WorkerContext, claim: Claim, error: JobError | NotFoundError) -> None:
    code = error.code if isinstance(error, JobError) else JobErrorCode.ARCHIVE_GONE
    metrics.CHUNKS.add(ChunkEnd.JOB_FAILED)
    metrics.JOBS_FAILED.add(code)
    log.error("job_failed", job_id=str(claim.job_id), code=code, error=str(error))
    now = context.clock.now()
    put_down(context, "chunk", lambda session: fail_chunk_job(session, claim, code, str(error), now))
