"""Two jobs over the same pictures: how often they agree, and where they do not."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from api.pages.rendering import render
from api.pages.reportcharts import matrix_lines
from api.pages.routing import PageRoute
from api.resources import Here, TenantId
from api.results.views import base_url, classes_of, display_name
from api.routes.jobs import view_job, view_jobs
from core.db.comparing import compare_jobs, find_comparable
from core.db.engine import reading
from core.db.jobs import get_job

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Other = Annotated[UUID | None, Query(alias="with")]
_SHOWN = 60


@router.get("/jobs/{job_id}/compare")
def show_comparison(request: Request, here: Here, tenant_id: TenantId, job_id: UUID, other: Other = None) -> HTMLResponse:
    """With another job: the figures and the pictures about which the two differ. Without: which jobs there are."""
    base = base_url(request, here.settings.api)
    with reading(here.engine) as session:
        row = get_job(session, tenant_id, job_id)
        job = view_job(session, row, base)
        offered = view_jobs(session, find_comparable(session, row), base)
        beside = None if other is None else get_job(session, tenant_id, other)
        second = None if beside is None else view_job(session, beside, base)
        found = None if beside is None else compare_jobs(session, job_id, beside.id)
    classes = list(dict.fromkeys((*classes_of(row), *(classes_of(beside) if beside is not None else ()))))
    counts = [[found.labels.get((a, b), 0) for b in classes] for a in classes] if found else []
    return render(
        "compare.html",
        page="jobs",
        job=job,
        second=second,
        offered=offered,
        found=found,
        classes=classes,
        matrix=matrix_lines(classes, counts) if found and found.classified else [],
        shown=[(each, display_name(bytes(each.a.name))) for each in found.differences[:_SHOWN]] if found else [],
    )
