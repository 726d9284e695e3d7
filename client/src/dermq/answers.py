"""From HTTP answers to values and errors: problem+json (RFC 9457) becomes a `ProblemError`."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from dermq.connection import locked_proxy
from dermq.errors import DermqError, UnexpectedAnswerError, problem_class


def problem_of(response: httpx2.Response) -> DermqError:
    """The error that an unsuccessful answer stands for; the response's body must have been read."""
    if response.status_code == httpx2.codes.PROXY_AUTHENTICATION_REQUIRED:  # over http:// a proxy answers for the server
        return locked_proxy()
    status, problem = response.status_code, _read_problem(response)
    detail = problem.get("detail") or problem.get("title") or response.reason_phrase or "no reason given"
    message = str(detail)
    if not problem:  # something other than DermQ answered, or DermQ broke
        message = f"{response.request.method} {response.request.url} answered {status}: {detail}"
    return problem_class(status, str(problem.get("code") or ""))(message, status, problem, _retry_after(response))


def read_object(response: httpx2.Response) -> dict[str, Any]:
    """The JSON object of a successful answer.

    Raises:
        UnexpectedAnswerError: it is none.
    """
    try:
        value = response.json()
    except ValueError:  # not JSON, or not even text
        value = None
    if not isinstance(value, dict):
        raise UnexpectedAnswerError(
            f"{response.request.url} answers, but not as DermQ does: expected a JSON object, got {response.text[:80]!r}"
        )
    return value


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds of Retry-After (RFC 9110, 10.2.3; the date form is not used by DermQ)."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _read_problem(response: httpx2.Response) -> dict[str, Any]:
    if "json" not in response.headers.get("content-type", ""):
        return {}
    try:
        value = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}
