"""The report on a job, and the place to give a truth."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from api.errors import kind_of
from api.intake.requests import media_type
from api.intake.tables import take_table
from api.pages.rendering import render
from api.pages.reportcharts import draw
from api.pages.reportfile import shown
from api.pages.routing import PageRoute
from api.resources import Here, Resources, TenantId
from api.results.reports import load_report
from api.results.views import base_url
from api.routes.jobs import load_job_object
from api.routes.truth import GivenTruth, require_ended, take_truth
from core.db.models import TERMINAL_STATES
from core.errors import ConflictError, DermqError, InvalidRequestError, NotFoundError, TooLargeError

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/jobs/{job_id}/report")
def show_report(request: Request, here: Here, tenant_id: TenantId, job_id: UUID) -> HTMLResponse:
    """The figures where there is a truth; where there is none, how to give it."""
    return _show(request, here, tenant_id, job_id)


@router.post("/jobs/{job_id}/report")
async def give_truth(request: Request, here: Here, tenant_id: TenantId, job_id: UUID) -> Response:
    """A form: a CSV, or without a file the archive's own truth. Then the report; or the same page, with what was wrong."""
    try:
        await run_in_threadpool(require_ended, here, tenant_id, job_id)
        given = GivenTruth()
        if media_type(request) == "multipart/form-data":
            given = GivenTruth(*await take_table(request, "truth"))
        await run_in_threadpool(take_truth, here, tenant_id, job_id, given)
    except (InvalidRequestError, ConflictError, TooLargeError) as error:
        return await run_in_threadpool(_show, request, here, tenant_id, job_id, error)
    return RedirectResponse(f"/jobs/{job_id}/report", 303)


def _show(request: Request, here: Resources, tenant_id: UUID, job_id: UUID, refused: DermqError | None = None) -> HTMLResponse:
    job = load_job_object(here, tenant_id, job_id, base_url(request, here.settings.api))
    report, trouble = None, f"Not taken: {refused}" if refused else ""
    try:
        report = load_report(here.engine, here.reports, tenant_id, job_id)
    except NotFoundError:
        pass  # no truth: the page says so
    except ConflictError as error:
        trouble = trouble or str(error)
    return render(
        "report.html",
        page="jobs",
        job=job,
        over=job.state in TERMINAL_STATES,
        report=report and shown(report),
        figures=report and draw(report),
        trouble=trouble,
        status=kind_of(refused).status if refused else 200,
    )
