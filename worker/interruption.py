"""What an interruption of prepare or classify means: one policy for both tasks.

| interruption | what it is | what it costs |
|---|---|---|
| shutdown | the process was asked to end | nothing: the work is given back, due at once |
| outage | Serving, storage or database is unavailable | nothing: the work backs off and says what it waits for |
| time limit | the soft time limit struck, and no single image is to blame | nothing: as an outage of the worker |
| job fault | no image of the job can be read through | the job fails, with the reason; what Serving says is asked twice |
| refusal | a source of the job refuses access | an outage for 20 s, then a job fault |
| bug | an error that nobody foresaw | it is counted; the work backs off, is split, and ends as `internal_error` |
| crash | the process died | counted by the sweep, by the process's own record (core.db.processes) |
| poison | an image whose process died several times while it stood alone | `decoder_crash`, for that image |

The last two are judged by others: a process does not see its own death.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum

from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy.orm import Session

from core.db.chunks import Claim
from core.db.engine import transaction
from core.db.preparing import PrepareClaim
from core.db.waiting import dependency_of
from core.errors import DatabaseUnavailableError, JobError, JobErrorCode, NotFoundError, TransientError
from core.storage.denied import SourceDeniedError
from core.telemetry.logs import get_logger
from worker.context import WorkerContext
from worker.telemetry import metrics

log = get_logger(__name__)

DENIED_PATIENCE_S = 20.0  # of a source that refuses access: keys are changed in seconds, a policy is not


class Interruption(StrEnum):
    """What ended a task before its end, as far as the process itself can see it."""

    SHUTDOWN = "shutdown"
    OUTAGE = "outage"
    TIME_LIMIT = "time_limit"
    JOB_FAULT = "job_fault"
    BUG = "bug"


def judge(error: BaseException) -> Interruption:
    """The kind of an interruption, by the type of what was raised."""
    if isinstance(error, TransientError):
        return Interruption.OUTAGE
    if isinstance(error, JobError | NotFoundError):
        return Interruption.JOB_FAULT
    if isinstance(error, SoftTimeLimitExceeded):
        return Interruption.TIME_LIMIT
    return Interruption.BUG if isinstance(error, Exception) else Interruption.SHUTDOWN


def give_up(error: BaseException, claim: Claim | PrepareClaim, now: datetime) -> BaseException:
    """The same error; or, where a source has refused access since DENIED_PATIENCE_S, the one that ends the job."""
    if not isinstance(error, SourceDeniedError) or dependency_of(claim.waiting_for) != error.waits_for:
        return error
    if claim.waiting_since is None or now - claim.waiting_since < timedelta(seconds=DENIED_PATIENCE_S):
        return error
    return JobError(JobErrorCode.SOURCE_DENIED, f"{error}. Its rows so far stay; allow the access, then retry the job")


class TimeLimitError(TransientError):
    """The soft time limit struck before anything was finished, and no single image is to blame."""

    waits_for = "worker"


def new_error_id() -> str:
    """Under which the log has an unforeseen error: twelve hex digits."""
    return uuid.uuid4().hex[:12]


def put_down(context: WorkerContext, what: str, work: Callable[[Session], object]) -> None:
    """Let go of a claim, in one transaction. With the database away its lease runs out instead, which counts nothing either."""
    try:
        with transaction(context.engine) as session:
            work(session)
    except DatabaseUnavailableError as error:
        metrics.note_away(error)
        log.warning("claim_not_put_down", what=what, error=str(error), consequence="its lease runs out, and it runs again")
