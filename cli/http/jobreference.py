"""How a user names a job: by its id, by the beginning of it, or as `last`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cli.http.client import API, Client
from cli.output.exit_codes import CliError, ExitCode
from core.plaintext import plain_text

LAST = "last"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_BEGINNING = re.compile(r"[0-9a-f][0-9a-f-]{3,35}", re.IGNORECASE)  # of fewer characters, a guess
_SEARCHED = 2000  # of the newest jobs
_SHOWN = 5


def find_job(client: Client, reference: str) -> str:
    """The id of the job that a user means. A whole id is not looked up.

    Args:
        client: the server that has the job.
        reference: an id (RFC 9562), the first four or more characters of one, or `last` for the newest job.

    Raises:
        CliError: no job, or several, begin like that; or it is none of the three.
    """
    if _ID.fullmatch(reference):
        return reference.lower()
    if reference == LAST:
        newest = next(_list_ids(client, 1), None)
        if newest is None:
            raise CliError("there is no job yet, so none is the last", ExitCode.NOT_FOUND, "Submit one: dermq submit PATH")
        return newest
    if not _BEGINNING.fullmatch(reference):
        raise CliError(
            f"expected a job's id, the beginning of one (4 characters or more) or `{LAST}`, got {plain_text(reference)!r}",
            ExitCode.USAGE,
            "`dermq jobs` lists the ids.",
        )
    return _find_beginning(client, reference.lower())


def _find_beginning(client: Client, beginning: str) -> str:
    found = [each for each in _list_ids(client, _SEARCHED) if each.startswith(beginning)]
    if not found:
        raise CliError(f"no job has an id that begins with {beginning}", ExitCode.NOT_FOUND, "`dermq jobs` lists the ids.")
    if len(found) > 1:
        named = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
        raise CliError(
            f"{len(found)} jobs have an id that begins with {beginning}: {named}", ExitCode.USAGE, "Give more of the id."
        )
    return found[0]


def _list_ids(client: Client, count: int) -> Iterator[str]:
    """Ids of the newest jobs, the newest first."""
    return (str(row["id"]) for row in client.rows(f"{API}/jobs", count))
