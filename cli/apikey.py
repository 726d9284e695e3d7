"""The API key that a command shows: as `dermq` reads it, with errors for people."""

from __future__ import annotations

from cli.output.exit_codes import CliError, ExitCode


def read_key(given: str | None) -> str | None:
    """The key itself; None if there is none.

    Args:
        given: what --api-key or DERMQ_API_KEY says: a key, or @FILE; else the file that DERMQ_API_KEY_FILE names is read.

    Raises:
        CliError: the file cannot be read, or holds no key. The message never quotes what it holds.
    """
    from dermq import apikey
    from dermq.errors import UnreadableError

    try:
        return apikey.read_key(given)
    except UnreadableError as error:
        hint = f"Name a file that holds a key, with --api-key @FILE or {apikey.FILE_VARIABLE}."
        raise CliError(str(error), ExitCode.USAGE, hint) from error
