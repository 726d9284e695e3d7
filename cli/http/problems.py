"""From HTTP answers to errors for people: problem+json (RFC 9457) in, CliError out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cli.output.exit_codes import CliError, ExitCode

if TYPE_CHECKING:
    import httpx2

_CODES = {404: ExitCode.NOT_FOUND, 410: ExitCode.NOT_FOUND, 409: ExitCode.CONFLICT, 429: ExitCode.UNREACHABLE}
_HINTS = {
    401: "Give a key with --api-key @FILE, DERMQ_API_KEY or DERMQ_API_KEY_FILE.",
    403: "This key may not do that; ask the operator of the server.",
    413: "Split the archive, or ask the operator for a higher limit.",
}


def error_from_response(response: httpx2.Response) -> CliError:
    """The error an unsuccessful answer stands for; the response's body must have been read."""
    status = response.status_code
    problem = _read_problem(response)
    detail = problem.get("detail") or problem.get("title") or response.reason_phrase or "no reason given"
    code = _CODES.get(status, ExitCode.UNREACHABLE if status >= 500 else ExitCode.USAGE)
    message = str(detail)
    if not problem:  # something other than DermQ answered, or DermQ broke
        message = f"{response.request.method} {response.request.url} answered {status}: {detail}"
    return CliError(message, code, _HINTS.get(status, ""))


def unreachable(url: str, error: Exception) -> CliError:
    """No HTTP answer came at all."""
    return CliError(
        f"no DermQ server answers at {url}: {error or type(error).__name__}",
        ExitCode.UNREACHABLE,
        "Start one on this machine with `dermq up`, or name another with --server URL.",
    )


def _read_problem(response: httpx2.Response) -> dict[str, Any]:
    if "json" not in response.headers.get("content-type", ""):
        return {}
    try:
        value = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}
