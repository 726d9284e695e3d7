"""The job object of the HTTP API, as `dermq` reads it, and what a job's end means for the shell."""

from __future__ import annotations

from cli.output.exit_codes import ExitCode
from dermq.jobinfo import DISCLAIMER
from dermq.jobinfo import JobInfo as JobView

__all__ = ["DISCLAIMER", "JobView", "exit_code"]


def exit_code(job: JobView, *, strict: bool = False) -> ExitCode:
    """0 for a job that succeeded or goes on; failed items count only where the user asks for it."""
    if job.state in ("failed", "cancelled"):
        return ExitCode.JOB_FAILED
    if strict and job.failed:
        return ExitCode.FAILED_ITEMS
    return ExitCode.OK
