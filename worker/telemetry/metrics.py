"""What a worker measures. Its children write, their parent exports (see worker.telemetry.exposition).

Nothing is counted for single images: a chunk is added up while it runs, and noted when it ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum

from celery.exceptions import SoftTimeLimitExceeded

from core.db.outcomes import ItemOutcome
from core.errors import ItemErrorCode, JobErrorCode, TransientError
from worker.telemetry.series import Counter, Gauge, Histogram
from worker.telemetry.sharedvalues import SharedValues
from worker.telemetry.stopwatch import Stage, Stopwatch, read_core_seconds


class ChunkEnd(StrEnum):
    """How the run of a chunk ended."""

    FINISHED = "finished"  # every item has its outcome
    PARTIAL = "partial"  # some have; the rest waits for another run (time limit, cancelled job, unavailable dependency)
    WAITING = "waiting"  # none has, as a dependency is unavailable: it backs off
    GIVEN_BACK = "given_back"  # this process was asked to stop
    BUG = "bug"  # an error that nobody foresaw
    JOB_FAILED = "job_failed"  # it met what no image of the job can be read through
    LEASE_LOST = "lease_lost"  # it ran too long: what it found was not accepted
    NOT_CLAIMED = "not_claimed"  # there was nothing to do: a second message, or a cancelled job


TASKS = ("prepare", "classify", "sweep")
DEPENDENCIES = ("serving", "storage", "database", "broker")
SWEPT = ("due_jobs", "dead_owners", "rescued_prepares", "rescued_chunks", "republished_chunks", "topped_up")
JOB_FAILURES = [str(code) for code in JobErrorCode if code is not JobErrorCode.ERROR_BUDGET]  # that is the ledger's own end
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 600, 3600)

values = SharedValues()


def _each(*names: str) -> list[tuple[str, ...]]:
    return [(name,) for name in names]


ITEMS = Counter(
    values,
    "dermq_items",
    "Items with an outcome, committed; `code` is empty for succeeded ones.",
    ("outcome", "code"),
    [("succeeded", ""), *(("failed", str(code)) for code in ItemErrorCode)],
)
CHUNKS = Counter(values, "dermq_chunks", "Runs of chunks, by how they ended.", ("end",), _each(*map(str, ChunkEnd)))
CHUNK_SECONDS = Histogram(
    values, "dermq_chunk_duration_seconds", "From the claim of a chunk to the commit of its outcomes.", _SECONDS
)
STAGE_SECONDS = Counter(
    values, "dermq_stage_seconds", "Time of finished chunks by what it went into.", ("stage",), _each(*map(str, Stage))
)
CORE_WAIT_SECONDS = Counter(
    values, "dermq_core_wait_seconds", "Time in which tasks could have run, but found no free core (run queue, proc(5))."
)
CORE_SECONDS = Counter(values, "dermq_core_seconds", "Time that tasks ran on a core, without gRPC's threads.")
TASK_SECONDS = Counter(values, "dermq_task_seconds", "Time that processes were busy, by task.", ("task",), _each(*TASKS))
TASKS_ENDED = Counter(values, "dermq_tasks", "Tasks that ended, by task.", ("task",), _each(*TASKS))
TASK_ERRORS = Counter(
    values,
    "dermq_task_errors",
    "Tasks that ended with an error; its cause is what was away, `stopped` for time limits and shutdowns, else `fault`.",
    ("task", "cause"),
    [(task, cause) for task in TASKS for cause in (*DEPENDENCIES, "stopped", "fault")],
)
BATCH_IMAGES = Histogram(values, "dermq_batch_images", "Images in a batch sent to Serving.", (1, 2, 4, 8, 16, 32, 64, 128))
PREDICT_SECONDS = Histogram(
    values,
    "dermq_predict_duration_seconds",
    "From the sending of a batch to its answer, retries included.",
    (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20),
)
PREDICTS_IN_FLIGHT = Gauge(values, "dermq_predicts_in_flight", "Batches sent to Serving and not answered yet.")
PREDICT_RETRIES = Counter(values, "dermq_predict_retries", "Calls of Serving tried again within a task.")
BATCHES_REJECTED = Counter(values, "dermq_batches_rejected", "Batches that the model refused, and that were taken apart.")
BATCHES_HALVED = Counter(
    values, "dermq_batches_halved", "Batches for which Serving had not enough memory, and that were sent in smaller ones."
)
PREPARE_SECONDS = Histogram(
    values, "dermq_prepare_duration_seconds", "From the claim of a job to the commit of its chunks.", _SECONDS
)
JOBS_STARTED = Counter(values, "dermq_jobs_started", "Jobs whose archive was listed and cut into chunks.")
JOBS_FAILED = Counter(
    values, "dermq_jobs_failed", "Jobs failed by a worker, by code.", ("code",), _each(*JOB_FAILURES, "other")
)
BACKOFFS = Counter(
    values,
    "dermq_backoffs",
    "Work put off because a dependency was unavailable, by task and by what is awaited.",
    ("task", "awaited"),
    [(task, awaited) for task in ("prepare", "classify") for awaited in (*DEPENDENCIES, "worker")] + [("other", "other")],
)
DEPENDENCY_ERRORS = Counter(
    values,
    "dermq_dependency_errors",
    "Times that a dependency did not answer a worker, after its own short retries.",
    ("dependency",),
    _each(*DEPENDENCIES, "other"),
)
CHUNK_CRASHES = Counter(values, "dermq_chunk_crashes", "Chunks taken from a process that died or hung.")
CHUNK_SPLITS = Counter(values, "dermq_chunk_splits", "Chunks cut up because they kill their workers.")
PREPARE_CRASHES = Counter(values, "dermq_prepare_crashes", "Jobs taken from a process that died or hung while it listed them.")
PUBLISH_FAILURES = Counter(
    values, "dermq_publish_failures", "Wake-up messages that the broker did not take; the sweeper makes up for them."
)
SWEPT_MESSAGES = Counter(
    values, "dermq_swept_messages", "Wake-ups sent by the sweeper, by what made them necessary.", ("step",), _each(*SWEPT)
)
LAST_SWEEP = Gauge(values, "dermq_last_sweep_timestamp_seconds", "When the last sweep ended; 0 if none has.", greatest=True)
BUSY = Gauge(values, "dermq_worker_processes_busy", "Processes that run a task.")
PID = Gauge(values, "dermq_worker_pid", "Not exported: which process a row belongs to.")

EXPORTED = [each for each in list(globals().values()) if isinstance(each, (Counter, Histogram)) and each is not PID]


def enter_process(child: int) -> None:
    """This process is Celery's child number `child`: what it measures is added to what its predecessors have."""
    values.enter(child)
    PID.put(os.getpid())


@contextmanager
def observed_task(task: str) -> Iterator[None]:
    """Count a task, its time, and how it fails. What it raises goes on."""
    began, core_began = time.monotonic(), read_core_seconds()
    BUSY.put(1)
    try:
        yield
    except BaseException as error:
        _note_error(task, error)
        raise
    finally:
        BUSY.put(0)
        PREDICTS_IN_FLIGHT.put(0)
        core = read_core_seconds()
        TASKS_ENDED.add(task)
        TASK_SECONDS.add(task, amount=time.monotonic() - began)
        CORE_SECONDS.add(amount=core.running - core_began.running)
        CORE_WAIT_SECONDS.add(amount=core.waiting - core_began.waiting)


def _note_error(task: str, error: BaseException) -> None:
    if isinstance(error, TransientError):
        note_away(error)
        TASK_ERRORS.add(task, error.waits_for if error.waits_for in DEPENDENCIES else "fault")
        return
    stopped = isinstance(error, SoftTimeLimitExceeded) or not isinstance(error, Exception)
    TASK_ERRORS.add(task, "stopped" if stopped else "fault")


def note_away(error: TransientError) -> None:
    """A dependency did not answer."""
    if error.waits_for != "worker":
        DEPENDENCY_ERRORS.add(error.waits_for)


def note_backoff(task: str, error: TransientError) -> None:
    """Work is put off because of this."""
    BACKOFFS.add(task, error.waits_for)
    note_away(error)


def note_chunk(stopwatch: Stopwatch, outcomes: Sequence[ItemOutcome], end: ChunkEnd) -> None:
    """A chunk's outcomes are committed."""
    CHUNKS.add(end)
    CHUNK_SECONDS.observe(stopwatch.busy_s())
    for stage, seconds in stopwatch.stages().items():
        STAGE_SECONDS.add(stage, amount=seconds)
    failures = [outcome.error_code for outcome in outcomes if outcome.error_code is not None]
    ITEMS.add("succeeded", "", amount=len(outcomes) - len(failures))
    for code in failures:
        ITEMS.add("failed", str(code))
