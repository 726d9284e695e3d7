"""`dermq jobs|status|cancel|retry|delete`: look at jobs and steer them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.options import Common, JobArgument, with_common_options


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@with_common_options
def list_jobs(
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many of the newest jobs.")] = 20,
    *,
    state: Annotated[
        list[JobState] | None, typer.Option("--state", help="Only jobs in this state; may be repeated.", show_default=False)
    ] = None,
    search: Annotated[str | None, typer.Option("--search", metavar="TEXT", help="Only jobs with this in their name.")] = None,
    common: Common,
) -> None:
    """List jobs, the newest first."""
    from cli.http.jobview import JobView
    from cli.output.jobtable import print_jobs
    from cli.output.terminal import open_err, open_out, print_json
    from cli.service import connect

    asked: dict[str, str | list[str]] = {"state": [each.value for each in state]} if state else {}
    asked |= {"name": search} if search else {}
    with connect(common.target).client as client:
        found = list(client.rows("/v1/jobs", limit, asked))
    if common.json:
        print_json(found)
    elif found:
        print_jobs(open_out(), [JobView(raw) for raw in found])
    else:
        open_err().print("No such job." if asked else "No jobs yet. Submit one with `dermq submit PATH`.")


@with_common_options
def status(job: JobArgument, *, common: Common) -> None:
    """Show one job as it stands now."""
    from cli.http.jobreference import find_job
    from cli.http.jobview import JobView
    from cli.output.terminal import print_json
    from cli.service import connect

    with connect(common.target).client as client:
        view = JobView(client.job(find_job(client, job)))
    if common.json:
        print_json(view.raw)
        return
    _print_status(view.raw)


@with_common_options
def cancel(job: JobArgument, *, common: Common) -> None:
    """Cancel a job; the results so far are kept."""
    from cli.http.jobreference import find_job
    from cli.service import connect

    with connect(common.target).client as client:
        raw = client.cancel(find_job(client, job))
    how = "is cancelled" if raw["state"] == "cancelled" else "is being cancelled"
    _tell(raw, common.json, f"{how}; results so far are kept")


@with_common_options
def retry(
    job: JobArgument,
    *,
    code: Annotated[
        list[str] | None, typer.Option("--code", help="Only items that failed with this code; may be repeated. Default: all.")
    ] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="L", help="Run them on the version of this label.")] = None,
    version: Annotated[int | None, typer.Option("--version", metavar="N", min=1, help="Run them on this version.")] = None,
    common: Common,
) -> None:
    """Run the failed items of a job again, and what never ran. Each row names the version that saw it."""
    from cli.http.jobreference import find_job
    from cli.http.submission import check_choice
    from cli.service import connect

    check_choice(label, version)
    with connect(common.target).client as client:
        raw = client.retry(find_job(client, job), code, label, version)
        _tell(raw, common.json, "runs its failed items again")


@with_common_options
def delete(
    job: JobArgument, *, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False, common: Common
) -> None:
    """Delete a job with its archive and its results, for good."""
    from cli.http.jobreference import find_job
    from cli.output.terminal import open_err, print_json
    from cli.service import connect

    with connect(common.target).client as client:
        job = find_job(client, job)
        if not yes and not common.json:
            name = client.job(job).get("name") or job
            typer.confirm(f"Delete job {job} ({name}) with its results?", abort=True, err=True)
        client.delete(job)
    if common.json:
        print_json({"id": job, "object": "job", "deleted": True})
    else:
        open_err().print(f"Job {job} is deleted.", soft_wrap=True)


def _tell(raw: dict[str, Any], as_json: bool, what: str) -> None:
    from cli.output.terminal import open_err, print_json

    if as_json:
        print_json(raw)
        return
    open_err().print(f"Job {raw['id']} {what}. To follow it: dermq watch {raw['id']}", soft_wrap=True)


def _print_status(raw: dict[str, Any]) -> None:
    from cli.http.jobview import JobView
    from cli.output.progress import describe_state
    from cli.output.summary import print_heading
    from cli.output.terminal import open_out
    from core.formats import format_duration, format_moment, format_rate

    job, console = JobView(raw), open_out()
    print_heading(console, job)
    if not job.is_terminal:
        console.print(f"Now:       {describe_state(job)}", soft_wrap=True)
        if job.waiting_since:
            again = f", tried again at {format_moment(job.waiting_until)}" if job.waiting_until else ""
            console.print(f"Waits:     since {format_moment(job.waiting_since)}{again}", soft_wrap=True)
        console.print(f"Speed:     {format_rate(job.images_per_s)}, {format_duration(job.eta_s)} left", soft_wrap=True)
    console.print(f"Model:     {job.model}", soft_wrap=True)
    for state, moment in raw["timestamps"].items():
        if moment:
            console.print(f"{state.capitalize() + ':':<10} {format_moment(moment)}", soft_wrap=True)
    console.print(job.disclaimer, style="bold")
