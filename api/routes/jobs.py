"""Jobs: submit, list, look at, cancel, retry, delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api.intake.admission import check_room
from api.intake.queue import long_queue_s
from api.intake.requests import merge, read_json, take_job
from api.intake.submission import Submission, make_job, submit
from api.models import find_repin
from api.openapi import inlined, job_body, problems
from api.resources import CallerHere, Here, Resources, TenantId
from api.results.cursors import decode_job, encode_job, next_url
from api.results.views import base_url, job_object, job_url
from api.schemas import JobList, JobObject, JobParameters, RetryRequest, TagsRequest
from core.access.callers import Caller
from core.db.access.audit import Action, record
from core.db.engine import reading, transaction
from core.db.jobs import Tallies, get_job, list_jobs, read_all_tallies
from core.db.lifecycle import delete_job, request_cancel
from core.db.maintenance.erasing import erase_job
from core.db.models import TERMINAL_STATES, Job, JobState
from core.db.retrying import continue_retry, retry_job
from core.db.review.tags import replace_tags
from core.db.tombstones import remove
from core.db.uploads.partial import note_used
from core.db.window import WindowPolicy, open_window
from core.errors import DatabaseUnavailableError, StorageUnavailableError
from core.messages import prepare_message
from core.telemetry.logs import get_logger
from core.telemetry.tracing import current_traceparent

log = get_logger(__name__)
router = APIRouter(tags=["jobs"])

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x20-\x7e]{1,255}$",
        description="Any word of yours. The same key with the same body answers with the same job; with another body, 409.",
    ),
]
_POLL_S = 2
_ERASE_S = 1.0  # that an answer waits for rows to be removed
_SUBMITTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "Taken; `Location` is the job, `Retry-After` says when to look.",
        "headers": {
            "Location": {"schema": {"type": "string", "format": "uri"}, "required": True, "description": "The job."},
            "Retry-After": {"schema": {"type": "integer"}, "required": True, "description": "Seconds."},
            "Idempotency-Replayed": {"schema": {"const": "true"}, "description": "The job is the one of an earlier request."},
        },
    }
}


@dataclass(frozen=True, slots=True)
class Submitting:
    """What a submission has besides its body; a dependency, so that each way to submit declares the same."""

    request: Request
    response: Response
    here: Here
    caller: CallerHere
    asked: Annotated[JobParameters, Query()]
    idempotency_key: IdempotencyKey = None


_SUBMISSION: dict[str, Any] = {
    "status_code": 202,
    "openapi_extra": job_body(),
    "responses": _SUBMITTED | problems(400, 403, 408, 409, 413, 422, 429, 503, 507),
}


@router.put("/v1/jobs", include_in_schema=False, **_SUBMISSION)  # addresses that curl makes of `-T -` and of a trailing slash
@router.put("/v1/jobs/", include_in_schema=False, **_SUBMISSION)
@router.post("/v1/jobs/", include_in_schema=False, **_SUBMISSION)
@router.post("/v1/jobs", summary="Submit an archive", **_SUBMISSION)
async def submit_job(given: Annotated[Submitting, Depends()]) -> JobObject:
    """The archive is the raw body (`curl --data-binary @lesions.zip`), a form (`curl -F archive=@lesions.zip`), or JSON that
    names a source that the server can reach. It may be a ZIP, a TAR (gz, bz2, xz, zst), a 7z, one image, or a CSV
    manifest.
    """
    return await _submit(given)


@router.put("/v1/jobs/{filename}", summary="Submit an archive (curl -T)", **_SUBMISSION)
async def put_job(given: Annotated[Submitting, Depends()], filename: str) -> JobObject:
    """As POST: `curl -T lesions.zip URL/v1/jobs/` appends the file's name to the address and sends a PUT."""
    return await _submit(given, filename)


async def _submit(given: Submitting, filename: str = "") -> JobObject:
    here, headers = given.here, given.response.headers
    await check_room(given.request, here, given.caller.tenant_id, given.idempotency_key)
    intake = await take_job(given.request, here, given.caller.tenant_id, given.asked, filename)
    submission = Submission(
        given.caller,
        intake.parameters,
        intake.source,
        intake.source_name,
        intake.upload,
        idempotency_key=given.idempotency_key,
    )
    new = make_job(here, submission)
    job, is_new = await run_in_threadpool(submit, here, new)
    if intake.parts_of is not None:
        await run_in_threadpool(_let_go, here, intake.parts_of)
    base = base_url(given.request, here.settings.api)
    headers["Location"] = job_url(base, job.id)
    headers["Retry-After"] = str(_POLL_S)
    if not is_new:
        headers["Idempotency-Replayed"] = "true"
        return await run_in_threadpool(load_job_object, here, given.caller.tenant_id, job.id, base)
    queue_s = None if job.interactive else await run_in_threadpool(long_queue_s, here)
    return job_object(job, Tallies({}, {}, {}, new.tags), base).model_copy(update={"queue_s": queue_s})


def _let_go(here: Resources, upload_id: UUID) -> None:
    """The job has the bytes of an upload in parts. The answer is right whether or not that is written down."""
    try:
        with transaction(here.engine) as session:
            note_used(session, upload_id, here.clock.now())
    except DatabaseUnavailableError:
        log.info("parts_not_let_go", upload_id=str(upload_id), consequence="they go a day after the last one came")


@router.get("/v1/jobs", summary="List jobs, newest first", responses=problems(400, 422, 503))
def get_jobs(
    *,
    request: Request,
    response: Response,
    here: Here,
    tenant_id: TenantId,
    state: Annotated[list[JobState] | None, Query(description="Only jobs in these states.")] = None,
    name: Annotated[str, Query(max_length=255, description="Only jobs whose name has this text in it.")] = "",
    tag: Annotated[str, Query(max_length=40, description="Only jobs with this tag.")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> JobList:
    """Pages by keyset; `next`, and `Link: rel=next`, lead on."""
    before = decode_job(cursor) if cursor else None
    base = base_url(request, here.settings.api)
    with reading(here.engine) as session:
        jobs = list_jobs(session, tenant_id, limit=limit + 1, before=before, states=state or (), name=name, tag=tag)
        data = view_jobs(session, jobs[:limit], base)
    following = next_url(request, response, base, encode_job(data[-1].id)) if len(jobs) > limit else None
    return JobList(data=data, next=following)


@router.get("/v1/jobs/{job_id}", summary="Look at a job", responses=problems(404, 503))
def get_one_job(request: Request, response: Response, here: Here, tenant_id: TenantId, job_id: UUID) -> JobObject:
    """Its state, a time for each state, counts, rate, what it waits for, and where to go on. `Retry-After` while it runs."""
    job = load_job_object(here, tenant_id, job_id, base_url(request, here.settings.api))
    if job.state not in TERMINAL_STATES:
        response.headers["Retry-After"] = str(_POLL_S)
    return job


@router.put(
    "/v1/jobs/{job_id}/tags",
    summary="Put words on a job",
    responses=problems(400, 404, 413, 422, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": inlined(TagsRequest), "example": {"tags": ["ward 7", "urgent"]}}},
        }
    },
)
async def put_tags(request: Request, here: Here, caller: CallerHere, job_id: UUID) -> JobObject:
    """Up to 16 words, in place of those that it has. `GET /v1/jobs?tag=` finds it by them."""
    wanted = merge(TagsRequest, None, await read_json(request))
    return await run_in_threadpool(_tag, here, caller, job_id, wanted, base_url(request, here.settings.api))


def _tag(here: Resources, caller: Caller, job_id: UUID, wanted: TagsRequest, base: str) -> JobObject:
    with transaction(here.engine) as session:
        job = get_job(session, caller.tenant_id, job_id, lock=True)
        replace_tags(session, job_id, [tag.strip() for tag in wanted.tags])
        record(session, caller, Action.JOB_TAGS, job_id, here.clock.now(), tags=len(wanted.tags))
        return view_job(session, job, base)


@router.post("/v1/jobs/{job_id}/cancel", summary="Stop a job", responses=problems(404, 409, 503))
def cancel_job(request: Request, here: Here, caller: CallerHere, job_id: UUID) -> JobObject:
    """No new batch starts; what a worker holds comes home first. The rows so far stay.

    A second time it changes nothing. A job that has ended by itself answers 409: there is nothing to stop.
    """
    now = here.clock.now()
    with transaction(here.engine) as session:
        job = request_cancel(session, caller.tenant_id, job_id, now)
        record(session, caller, Action.JOB_CANCEL, job_id, now)
        return view_job(session, job, base_url(request, here.settings.api))


@router.post(
    "/v1/jobs/{job_id}/retry",
    summary="Run failed items again",
    responses=problems(400, 404, 409, 413, 422, 503),
    openapi_extra={
        "requestBody": {
            "content": {"application/json": {"schema": RetryRequest.model_json_schema(), "example": {"codes": ["truncated"]}}}
        }
    },
)
async def retry(request: Request, here: Here, caller: CallerHere, job_id: UUID) -> JobObject:
    """All failed items and whatever never ran, or only those with the given codes. The job must have ended.

    With `version` or `label` they run on another version, if its classes are the same; each row names the version that saw it.
    """
    wanted = merge(RetryRequest, None, await read_json(request))
    return await run_in_threadpool(_retry, here, caller, job_id, wanted, base_url(request, here.settings.api))


def _retry(here: Resources, caller: Caller, job_id: UUID, wanted: RetryRequest, base: str) -> JobObject:
    window, now = WindowPolicy(here.settings.worker.window, here.settings.worker.republish_s), here.clock.now()
    repin = find_repin(here, caller.tenant_id, job_id, wanted)
    with transaction(here.engine) as session:
        job = retry_job(session, caller.tenant_id, job_id, now, wanted.codes, repin=repin)
        record(session, caller, Action.JOB_RETRY, job_id, now, codes=wanted.codes and sorted(wanted.codes))
        if wanted.error_budget is not None:
            job.error_budget = wanted.error_budget
        job.traceparent = current_traceparent() or job.traceparent
        messages = open_window(session, job, window, now)
    if job.state == JobState.QUEUED:
        messages = [prepare_message(job.id, interactive=job.interactive)]
    here.publisher.send_soon(job.id, messages)
    pages_left = job.reopening is not None
    while pages_left:  # should this process end here, the sweep goes on
        with transaction(here.engine) as session:
            messages, pages_left = continue_retry(session, job_id, window, here.clock.now())
        here.publisher.send_soon(job_id, messages)
    return load_job_object(here, caller.tenant_id, job_id, base)


@router.delete("/v1/jobs/{job_id}", status_code=204, summary="Delete a job", responses=problems(404, 409, 503))
def delete(here: Here, caller: CallerHere, job_id: UUID) -> None:
    """With its rows and its upload. It must have ended.

    Nobody sees it from the answer on. What takes longer than a second, or what the storage cannot delete now, the sweep deletes
    later: the rows of a large job, page by page.
    """
    with transaction(here.engine) as session:
        prefixes = delete_job(session, caller.tenant_id, job_id, here.clock.now(), by=caller)
    try:
        for prefix in prefixes:
            here.storage.delete_prefix(prefix)
    except StorageUnavailableError as error:
        log.warning("objects_not_deleted", job_id=str(job_id), error=str(error), consequence="the sweep deletes them later")
    else:
        with transaction(here.engine) as session:
            remove(session, prefixes)
    try:
        erase_job(here.engine, job_id, seconds=_ERASE_S)
    except DatabaseUnavailableError as error:
        log.warning("rows_not_erased", job_id=str(job_id), error=str(error), consequence="the sweep erases them later")


def view_job(session: Session, job: Job, base: str) -> JobObject:
    """A loaded job as it is shown."""
    return view_jobs(session, [job], base)[0]


def view_jobs(session: Session, jobs: Sequence[Job], base: str) -> list[JobObject]:
    """The same of several jobs, with as many statements."""
    tallies = read_all_tallies(session, [job.id for job in jobs])
    return [job_object(job, tallies[job.id], base) for job in jobs]


def load_job_object(here: Resources, tenant_id: UUID, job_id: UUID, base: str) -> JobObject:
    """A job as it is shown, in one reading transaction; raises NotFoundError."""
    with reading(here.engine) as session:
        return view_job(session, get_job(session, tenant_id, job_id), base)
