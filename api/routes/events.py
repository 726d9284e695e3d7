"""Server-sent events: a job's changes as they happen (WHATWG HTML, 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from api.openapi import problems
from api.resources import CallerHere, Here, Resources, TenantId
from api.results.views import base_url
from api.routes.jobs import load_job_object
from api.schemas import JobObject
from core.access.callers import Caller
from core.db.access.keys import may_still_ask
from core.db.engine import reading
from core.db.jobs import Progress, read_progress
from core.db.models import TERMINAL_STATES
from core.errors import DatabaseUnavailableError, NotFoundError

router = APIRouter(tags=["jobs"])

_POLL_S = 0.3
_RECONNECT_MS = 2000


async def present_job(request: Request, here: Here, tenant_id: TenantId, job_id: UUID) -> JobObject:
    """The job when the stream begins; a dependency, because a missing job must be a 404 and not a broken stream."""
    return await run_in_threadpool(load_job_object, here, tenant_id, job_id, base_url(request, here.settings.api))


@router.get(
    "/v1/jobs/{job_id}/events", response_class=EventSourceResponse, summary="Follow a job", responses=problems(404, 422, 503)
)
async def follow(
    request: Request,
    here: Here,
    caller: CallerHere,
    job: Annotated[JobObject, Depends(present_job)],
    last_event_id: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=2**63 - 1)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """An event `job` with the job object on each change, its revision as id; the stream ends with the job. A client that comes
    back with `Last-Event-ID` hears at once what it has missed; only the end of the job is sent again.
    The stream also ends when the key that opened it is revoked or expires, or when the time of the token is over.
    """
    base = base_url(request, here.settings.api)
    if last_event_id != job.revision or job.state in TERMINAL_STATES:
        yield _event(job)
    seen = job.revision
    while job.state not in TERMINAL_STATES and not here.stopping.is_set():
        await _pause(here)
        try:
            progress = await run_in_threadpool(_progress, here, caller, job.id)
            if progress.revision == seen:
                continue
            job = await run_in_threadpool(load_job_object, here, caller.tenant_id, job.id, base)
        except NotFoundError:
            return  # deleted, or the key or token does not work any more
        except DatabaseUnavailableError as error:
            yield ServerSentEvent(comment=str(error).partition("\n")[0])
            continue
        seen = job.revision
        yield _event(job)


def _progress(here: Resources, caller: Caller, job_id: UUID) -> Progress:
    """Raises NotFoundError once the job is gone, or the caller's key or token does not work any more."""
    with reading(here.engine) as session:
        progress = read_progress(session, job_id)
        if not may_still_ask(session, caller, here.clock.now()):
            raise NotFoundError("the key or token does not work any more")
    if progress is None:
        raise NotFoundError(f"job {job_id} is gone")
    return progress


async def _pause(here: Resources) -> None:
    try:
        await asyncio.wait_for(here.stopping.wait(), _POLL_S)
    except TimeoutError:
        return


def _event(job: JobObject) -> ServerSentEvent:
    return ServerSentEvent(data=job, event="job", id=str(job.revision), retry=_RECONNECT_MS)
