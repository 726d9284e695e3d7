"""From the errors of `dermq` to errors for people: CliError, with an exit code and a hint."""

from __future__ import annotations

from cli.output.exit_codes import CliError, ExitCode
from dermq.errors import (
    DermqError,
    ProblemError,
    ProxyError,
    UnexpectedAnswerError,
    UnreachableError,
    UnreadableError,
)

_CODES = {404: ExitCode.NOT_FOUND, 410: ExitCode.NOT_FOUND, 409: ExitCode.CONFLICT, 429: ExitCode.UNREACHABLE}
_HINTS = {
    401: "Give a key with --api-key @FILE, DERMQ_API_KEY or DERMQ_API_KEY_FILE.",
    403: "This key may not do that; ask the operator of the server.",
    413: "Split the archive, or ask the operator for a higher limit.",
}
_START = "Start one on this machine with `dermq up`, or name another with --server URL."
_CHECK = "Check --server (or DERMQ_SERVER); a proxy may be in between."
_READ = "Check its permissions."
_PROXY = "Set http_proxy, https_proxy or all_proxy to an http://, https:// or socks5:// address, or unset them."


def client_error(error: DermqError) -> CliError:
    """What went wrong between this command and the server, for the shell."""
    if isinstance(error, ProblemError):
        code = _CODES.get(error.status, ExitCode.UNREACHABLE if error.status >= 500 else ExitCode.USAGE)
        return CliError(str(error), code, _HINTS.get(error.status, ""))
    if isinstance(error, UnreachableError):
        return CliError(str(error), ExitCode.UNREACHABLE, _START)
    if isinstance(error, UnexpectedAnswerError):
        return CliError(str(error), ExitCode.UNREACHABLE, _CHECK)
    hint = _PROXY if isinstance(error, ProxyError) else _READ if isinstance(error, UnreadableError) else ""
    return CliError(str(error), ExitCode.USAGE, hint)
