"""Ground truth: what is known to be true of a job's images, and the report on the job."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from api.intake.names import content_disposition
from api.intake.requests import media_type, merge, read_json
from api.intake.tables import take_table
from api.openapi import inlined, problems
from api.resources import Here, Resources, TenantId
from api.results.reports import load_report, require_truth, spec_of
from api.results.schemas import ReportObject, TruthObject
from api.results.views import base_url, metadata_of
from core.db.engine import reading, transaction
from core.db.jobs import get_job
from core.db.models import TERMINAL_STATES, Job
from core.db.outcomes import name_from_bytes
from core.db.truth.store import NamedItem, find_truth_set, read_named_items, remove_truth, save_truth
from core.db.truth.tables import TruthSet
from core.errors import ArchiveError, ConflictError, InvalidRequestError
from core.evaluation.truth import Described, ItemNames, Matched, match_archive, match_table
from core.storage.memory import MemoryAccess

router = APIRouter(tags=["results"])

Column = Annotated[str, Query(max_length=200, description="The column that has the classes. Default: found by its name.")]


class TruthRequest(BaseModel):
    """Take the truth from the archive itself."""

    model_config = ConfigDict(extra="forbid")

    source: Literal["archive"] = "archive"


@dataclass(frozen=True, slots=True)
class GivenTruth:
    """What a request says of the truth."""

    table: bytes | None = None  # None: the archive itself
    filename: str = ""
    column: str = ""  # empty: to be found


class ReportFormat(StrEnum):
    """Formats by their file suffix."""

    JSON = "json"
    HTML = "html"


_BODY = {
    "required": True,
    "content": {
        "text/csv": {"schema": {"type": "string", "format": "binary"}, "example": "image,dx\nISIC_0024310,mel\n"},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"truth": {"type": "string", "format": "binary"}},
                "required": ["truth"],
            }
        },
        "application/json": {"schema": inlined(TruthRequest), "example": {"source": "archive"}},
    },
}


@router.put(
    "/v1/jobs/{job_id}/truth",
    summary="Say what is true of a job's images",
    responses=problems(400, 404, 408, 409, 413, 422, 503),
    openapi_extra={"requestBody": _BODY},
)
async def put_truth(request: Request, here: Here, tenant_id: TenantId, job_id: UUID, column: Column = "") -> TruthObject:
    """The body is a CSV with a column that names images and one that has their classes: `dx`, `label`, or a column of 0 and 1
    for each class. Or it is JSON: `{"source": "archive"}` takes the column of the archive's own table, else its folders.

    It replaces the truth that the job had. The job must have ended. The answer counts what could not be used: names that match
    no image or several, classes that the model does not have, images that are named twice. A truth that says nothing of any
    image is refused.
    """
    await run_in_threadpool(require_ended, here, tenant_id, job_id)
    if media_type(request) == "application/json":
        merge(TruthRequest, None, await read_json(request))
        return await run_in_threadpool(take_truth, here, tenant_id, job_id, GivenTruth(column=column))
    table, filename = await take_table(request, "truth")
    given = GivenTruth(table, filename, column)
    return await run_in_threadpool(take_truth, here, tenant_id, job_id, given)


@router.get("/v1/jobs/{job_id}/truth", summary="Where the truth comes from", responses=problems(404, 503))
def get_truth(here: Here, tenant_id: TenantId, job_id: UUID) -> TruthObject:
    """What was found and what could not be used; 404 where the job has no truth."""
    with reading(here.engine) as session:
        get_job(session, tenant_id, job_id)
        return _shown(require_truth(find_truth_set(session, job_id), job_id))


@router.delete("/v1/jobs/{job_id}/truth", status_code=204, summary="Forget the truth", responses=problems(404, 503))
def delete_truth(here: Here, tenant_id: TenantId, job_id: UUID) -> None:
    """The rows of the job stay as they are."""
    with transaction(here.engine) as session:
        get_job(session, tenant_id, job_id, lock=True)
        require_truth(find_truth_set(session, job_id), job_id)
        remove_truth(session, job_id)


@router.get(
    "/v1/jobs/{job_id}/report.{form}",
    summary="The job beside its truth",
    responses={
        200: {"model": ReportObject, "content": {"text/html": {"schema": {"type": "string"}}}},
        **problems(404, 409, 422, 503),
    },
)
def get_report(request: Request, here: Here, tenant_id: TenantId, job_id: UUID, form: ReportFormat) -> Response:
    """Confusion matrix, balanced accuracy, sensitivity of each class with intervals, ROC curve with the operating point,
    calibration, and figures by age, sex and site where the archive's table has them. HTML is one file without other files.
    """
    report = load_report(here.engine, here.reports, tenant_id, job_id)
    if form is ReportFormat.JSON:
        return Response(json.dumps(report, ensure_ascii=False), media_type="application/json")
    from api.pages.reportfile import render_file  # noqa: PLC0415 - only this route needs the templates

    page = render_file(report, base_url(request, here.settings.api))
    headers = {"Content-Disposition": content_disposition("attachment", f"{report['name']}-report.html")}
    return Response(page, headers=headers, media_type="text/html")


def take_truth(here: Resources, tenant_id: UUID, job_id: UUID, given: GivenTruth) -> TruthObject:
    """Match and save a truth. Blocking.

    Raises:
        NotFoundError: no such job.
        ConflictError: it has not ended, or its model cannot be judged by one class.
        InvalidRequestError: this is no truth of the job.
    """
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        _require_end(job)
        items = list(read_named_items(session, job_id))
    matched = _match(job, items, given)
    with transaction(here.engine) as session:
        _require_end(get_job(session, tenant_id, job_id, lock=True))
        return _shown(save_truth(session, job_id, matched.labels, matched.summary(), here.clock.now()))


def _match(job: Job, items: list[NamedItem], given: GivenTruth) -> Matched:
    spec = spec_of(job)
    named = [(each.item_no, name_from_bytes(each.name)) for each in items]
    try:
        if given.table is not None:
            return match_table(MemoryAccess(given.table), given.filename, ItemNames(named), spec.classes, given.column)
        described = [Described(item, name, each.metadata or {}) for (item, name), each in zip(named, items, strict=True)]
        return match_archive(described, metadata_of(job), spec.classes, given.column)
    except ArchiveError as error:  # its code is one of jobs
        raise InvalidRequestError(str(error)) from error


def require_ended(here: Resources, tenant_id: UUID, job_id: UUID) -> None:
    """Refuse before a body is read; raises NotFoundError, or ConflictError where the job has not ended."""
    with reading(here.engine) as session:
        _require_end(get_job(session, tenant_id, job_id))


def _require_end(job: Job) -> None:
    if job.state not in TERMINAL_STATES:
        raise ConflictError(f"job {job.id} is {job.state}: wait for its end, so that all of its images are there to be named")


def _shown(known: TruthSet) -> TruthObject:
    return TruthObject(revision=known.revision, added_at=known.added_at, **known.summary)
