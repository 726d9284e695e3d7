"""One image, answered when done: an interactive job, waited for."""

from __future__ import annotations

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from api.intake.admission import check_room
from api.intake.requests import take_upload
from api.interactive.direct import MAX_BYTES
from api.interactive.request import OneImage
from api.openapi import image_body, problems
from api.resources import CallerHere, Here, Resources
from api.results.views import base_url, classes_of, job_url, result_objects
from api.routes.jobs import IdempotencyKey, load_job_object
from api.schemas import Classification, JobObject, JobParameters
from core.db.engine import reading
from core.db.jobs import get_job
from core.db.models import ItemState
from core.db.results import ResultFilter, ResultSort, read_results
from core.errors import ConflictError, DermqError, ItemError, ItemErrorCode, JobError, JobErrorCode, NotFoundError
from core.settings import ApiSettings

router = APIRouter(tags=["classify"])

_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,6})\"?", re.IGNORECASE)
_ASYNC = re.compile(r"(?:^|,)\s*respond-async\s*(?:$|[,;])", re.IGNORECASE)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": Classification},
    202: {
        "model": JobObject,
        "description": "Not done yet, or `Prefer: respond-async`: the job, to be followed.",
        "headers": {
            "Location": {"schema": {"type": "string", "format": "uri"}, "required": True, "description": "The job."},
            "Retry-After": {"schema": {"type": "integer"}, "required": True, "description": "Seconds."},
            "Preference-Applied": {"schema": {"type": "string"}, "description": "RFC 7240."},
        },
    },
}


@router.post(
    "/v1/classify",
    summary="Classify one image",
    openapi_extra=image_body(),
    responses=_ANSWERS | problems(400, 404, 408, 409, 413, 422, 429, 500, 502, 503, 507),
)
async def classify(
    *,
    request: Request,
    here: Here,
    caller: CallerHere,
    asked: Annotated[JobParameters, Query()],
    idempotency_key: IdempotencyKey = None,
    prefer: Annotated[str, Header(description="RFC 7240: `respond-async`, `wait=<seconds>`.")] = "",
) -> Response:
    """The image is the raw body (`curl --data-binary @lesion.jpg`) or a form (`curl -F image=@lesion.jpg`).

    Answers with its row as soon as there is one. An image at fault is a 422 with its own code. What is not done within the
    server's limit is answered with 202 and the job.
    """
    tenant_id = caller.tenant_id
    await check_room(request, here, tenant_id, idempotency_key)
    applied = _applied(prefer)
    image = OneImage(here, caller, idempotency_key, _limit_s(applied, here.settings.api))
    async with image:
        intake = await take_upload(
            request,
            here,
            asked,
            ("image", "file", "archive"),
            here.settings.image.max_bytes,
            inspect=image.begin,
            held_bytes=MAX_BYTES,
        )
        job_id, ended = await image.run(intake)
    base = base_url(request, here.settings.api)
    if ended:
        answer = await run_in_threadpool(_answer, here, tenant_id, job_id, base)
        return JSONResponse(answer, headers=_preference(applied))
    shown = await run_in_threadpool(load_job_object, here, tenant_id, job_id, base)
    headers = {"Location": job_url(base, job_id), "Retry-After": "1", **_preference(applied)}
    return Response(shown.model_dump_json(), 202, headers, "application/json")


def _limit_s(applied: str, settings: ApiSettings) -> float:
    """How long to wait; negative: not at all, not even for a job that has ended."""
    if applied == "respond-async":
        return -1.0
    asked_s = float(applied.partition("=")[2]) if applied else settings.classify_wait_s
    return min(asked_s, settings.classify_wait_s)


def _applied(prefer: str) -> str:
    """The preference that will be honoured, in the words of Preference-Applied; empty if there is none."""
    if _ASYNC.search(prefer):
        return "respond-async"
    wait = _WAIT.search(prefer)
    return f"wait={wait[1]}" if wait else ""


def _preference(applied: str) -> dict[str, str]:
    return {"Preference-Applied": applied} if applied else {}


def _answer(here: Resources, tenant_id: UUID, job_id: UUID, base: str) -> dict[str, Any]:
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        rows = read_results(session, job_id, chosen=ResultFilter(), sort=ResultSort.ITEM, limit=1)
    if not rows:
        message = f"job {job_id} is {job.state} without a result: {job.error or 'see the job'}"
        raise _job_error(job.error_code, message)
    row = rows[0]
    if row.state == ItemState.FAILED:
        raise _item_error(row.error_code, row.error)
    return {
        "object": "classification",
        **next(result_objects(rows, job.model, classes_of(job), every_class=True)),
        "job": str(job_id),
        "links": {"job": job_url(base, job_id), "image": f"{job_url(base, job_id)}/items/{row.item_no}/image"},
    }


def _job_error(code: str | None, message: str) -> Exception:
    if code in set(JobErrorCode):
        return JobError(JobErrorCode(code), message)
    if code is None:
        return ConflictError(message)  # it was cancelled while this request waited
    return DermqError(f"{code}: {message}")  # a code of another release


def _item_error(code: str | None, message: str | None) -> Exception:
    if code in set(ItemErrorCode):
        return ItemError(ItemErrorCode(code), message or "")
    return NotFoundError(f"{code}: {message}")
