"""From a job's end to an exit code."""

from __future__ import annotations

from cli.exits import ExitCode
from cli.jobview import JobView


def exit_code(job: JobView, *, strict: bool = False) -> ExitCode:
    """0 for a job that succeeded or goes on; failed items count only where the user asks for it."""
    if job.state in ("failed", "cancelled"):
        return ExitCode.JOB_FAILED
    if strict and job.failed:
        return ExitCode.FAILED_ITEMS
    return ExitCode.OK
