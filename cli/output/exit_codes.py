"""Exit codes, and the one error that carries them to the shell."""

from __future__ import annotations

from enum import IntEnum

from core.errors import (
    ConfigurationError,
    ConflictError,
    DermqError,
    InvalidRequestError,
    JobError,
    ModelNotFoundError,
    NotFoundError,
    TransientError,
)


class ExitCode(IntEnum):
    """What `dermq` tells the shell. Stable: scripts branch on these numbers."""

    OK = 0  # done; for a job: it succeeded, even where single items failed
    JOB_FAILED = 1  # the job ended as failed or cancelled, `doctor` found a fault, or DermQ itself could not go on
    USAGE = 2  # the command or the request cannot be understood, the input is not there, or the data folder cannot be used
    UNREACHABLE = 3  # no server answers, or it says that it cannot serve now
    NOT_FOUND = 4  # no such job, model or item
    CONFLICT = 5  # the job is in another state, the port is taken, or another `dermq up` holds the data folder
    FAILED_ITEMS = 6  # only with --strict: the job succeeded, but some items have no result
    INTERRUPTED = 130  # Ctrl-C; a submitted job is kept, and the last line says how to come back to it


EXIT_CODES_HELP = (
    "Exit codes: 0 done; 1 the job failed or was cancelled; 2 wrong usage or input; 3 no server answers; 4 not found; "
    "5 conflict, or the data folder is in use; 6 some items failed (only with --strict); 130 interrupted. "
    "More in docs/reference/cli.md."
)

_OWN = frozenset({"api", "cli", "core", "dermq", "serving", "training", "worker"})


class CliError(Exception):
    """A failure that the user reads in one or two sentences, without a traceback.

    Args:
        message: names the thing, what was expected and what came.
        code: the process's exit code.
        hint: what to do about it; shown on a line of its own.
    """

    def __init__(self, message: str, code: ExitCode, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


_CODES: tuple[tuple[type[DermqError], ExitCode], ...] = (
    (TransientError, ExitCode.UNREACHABLE),
    (NotFoundError, ExitCode.NOT_FOUND),
    (ModelNotFoundError, ExitCode.NOT_FOUND),
    (InvalidRequestError, ExitCode.USAGE),
    (ConfigurationError, ExitCode.USAGE),
    (ConflictError, ExitCode.CONFLICT),
    (JobError, ExitCode.JOB_FAILED),
)


def as_cli_error(error: DermqError) -> CliError:
    """What DermQ itself refused, for the shell; notes on the error become the hint."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.JOB_FAILED)
    return CliError(str(error), code, " ".join(getattr(error, "__notes__", [])))


def absent_package(error: ModuleNotFoundError) -> CliError:
    """A package of another extra, for the shell.

    Raises:
        ModuleNotFoundError: it is a module of DermQ's own, which is a fault.
    """
    if (error.name or "").partition(".")[0] in _OWN:
        raise error
    return CliError(
        f"this command needs the package {error.name}, which is not installed here",
        ExitCode.USAGE,
        'For a stack on this machine: uv tool install "dermq[up]". Training needs "dermq[training]".',
    )
