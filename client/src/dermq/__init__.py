"""DermQ from Python: submit archives of dermatoscopic images, wait, and read the results. Research use only, not a diagnosis.

    from dermq import Client

    with Client("https://dermq.example", api_key="dq_…") as client:
        job = client.screen("lesions.zip")
        frame = job.results(sort="-risk").to_pandas()

`Client` and `AsyncClient` send requests, `dermq.errors` has all that they raise, `verify_webhook` checks what the server sends.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dermq.aio import AsyncClient, AsyncJob
    from dermq.client import Client, Job
    from dermq.errors import DermqError, JobFailedError, ProblemError, UnreachableError
    from dermq.jobinfo import JobInfo
    from dermq.results import AsyncResults, Results
    from dermq.retries import Retries
    from dermq.webhooks import verify_webhook

_HOMES = {
    "AsyncClient": "aio",
    "AsyncJob": "aio",
    "AsyncResults": "results",
    "Client": "client",
    "DermqError": "errors",
    "Job": "client",
    "JobFailedError": "errors",
    "JobInfo": "jobinfo",
    "ProblemError": "errors",
    "Results": "results",
    "Retries": "retries",
    "UnreachableError": "errors",
    "verify_webhook": "webhooks",
}

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "AsyncResults",
    "Client",
    "DermqError",
    "Job",
    "JobFailedError",
    "JobInfo",
    "ProblemError",
    "Results",
    "Retries",
    "UnreachableError",
    "verify_webhook",
]


def __getattr__(name: str) -> Any:
    """Each name is loaded when it is first used: `import dermq` alone loads no HTTP client."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dermq' has no attribute {name!r}")
    return getattr(import_module(f"dermq.{_HOMES[name]}"), name)
