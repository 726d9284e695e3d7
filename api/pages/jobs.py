"""The list of jobs, and one job."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from api.pages.charts import class_bars, risk_columns
from api.pages.rendering import render
from api.pages.routing import PageRoute
from api.resources import Here, TenantId
from api.routes.jobs import get_jobs, get_one_job
from api.routes.results import chosen_results, get_errors, get_histogram
from api.schemas import JobObject
from core.db.models import TERMINAL_STATES, JobState

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_SHOWN_JOBS = 25
_SHOWN_FAILURES = 20
_BINS = 40
_STATES = (JobState.QUEUED, JobState.PREPARING, JobState.RUNNING, JobState.CANCELLING, *TERMINAL_STATES)


class Listed(BaseModel):
    """The address of a list of jobs."""

    state: list[JobState] | None = None
    name: str = Field("", max_length=255)
    tag: str = Field("", max_length=40)
    cursor: str | None = Field(None, max_length=200)


@router.get("/jobs")
def show_jobs(request: Request, here: Here, tenant_id: TenantId, view: Annotated[Listed, Query()]) -> HTMLResponse:
    """All jobs, newest first; filter and page are in the address."""
    return render("jobs.html", page="jobs", **_list(request, here, tenant_id, view))


@router.get("/jobs/rows")
def show_rows(request: Request, here: Here, tenant_id: TenantId, view: Annotated[Listed, Query()]) -> HTMLResponse:
    """The table alone, which the page fetches again and again."""
    return render("_jobs.html", **_list(request, here, tenant_id, view))


@router.get("/jobs/{job_id}")
def show_job(request: Request, here: Here, tenant_id: TenantId, job_id: UUID) -> HTMLResponse:
    """One job."""
    return render("job.html", page="jobs", **_details(request, here, tenant_id, job_id))


@router.get("/jobs/{job_id}/live")
def show_progress(request: Request, here: Here, tenant_id: TenantId, job_id: UUID) -> HTMLResponse:
    """What of a job's page changes."""
    return render("_job.html", **_details(request, here, tenant_id, job_id))


def _list(request: Request, here: Here, tenant_id: UUID, view: Listed) -> dict[str, Any]:
    found = get_jobs(
        request=request,
        response=Response(),
        here=here,
        tenant_id=tenant_id,
        state=view.state,
        name=view.name,
        tag=view.tag,
        limit=_SHOWN_JOBS,
        cursor=view.cursor,
    )
    kept = view.model_dump(exclude={"cursor"}, exclude_defaults=True, mode="json")
    following = found.next and f"/jobs?{found.next.partition('?')[2]}"
    return {
        "jobs": found.data,
        "next": following,
        "first": view.cursor is None,
        "newest": f"/jobs?{urlencode(kept, doseq=True)}" if kept else "/jobs",
        "chosen": view.state or [],
        "name": view.name,
        "tag": view.tag,
        "states": _STATES,
        "ended": TERMINAL_STATES,
    }


def _details(request: Request, here: Here, tenant_id: UUID, job_id: UUID) -> dict[str, Any]:
    job = get_one_job(request, Response(), here, tenant_id, job_id)
    histogram = get_histogram(here=here, tenant_id=tenant_id, job_id=job_id, chosen=chosen_results(), bins=_BINS)
    failures = []
    if job.counts.failed:
        found = get_errors(
            request=request, response=Response(), here=here, tenant_id=tenant_id, job_id=job_id, limit=_SHOWN_FAILURES
        )
        failures = found.data
    return {
        "job": job,
        "ended": TERMINAL_STATES,
        "is_over": job.state in TERMINAL_STATES,
        "steps": _steps(job),
        "histogram": histogram,
        "columns": risk_columns(histogram),
        "bars": class_bars(job),
        "failures": failures,
    }


def _steps(job: JobObject) -> list[tuple[str, Any, str]]:
    """The states that the job has been in, with their times, and those that it still has before it: (state, time, kind)."""
    times = job.timestamps.model_dump()
    usual = [JobState.QUEUED, JobState.PREPARING, JobState.RUNNING]
    ends = [state for state in (JobState.CANCELLING, *TERMINAL_STATES) if times[state] is not None]
    if job.state not in TERMINAL_STATES and JobState.CANCELLING not in ends:
        ends = [JobState.SUCCEEDED]
    reached = [state for state in usual if times[state] is not None or job.state not in TERMINAL_STATES]
    return [(state, times[state], _kind(state, job)) for state in (*reached, *ends)]


def _kind(state: JobState, job: JobObject) -> str:
    if state == job.state:
        return "now"
    return "past" if job.timestamps.model_dump()[state] is not None else "coming"
