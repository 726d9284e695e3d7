"""What the shell offers when a job or a model is to be named. It never fails: where no server answers, it offers nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer

_JOBS = 50


def complete_job(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Ids of the newest jobs, with their names and states; and `last`."""
    found = [("last", "the newest job"), *((str(row["id"]), f"{row['name']}, {row['state']}") for row in _rows(ctx, "jobs"))]
    return [(value, words) for value, words in found if value.startswith(incomplete)]


def complete_model(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the models that are served."""
    return [str(row["name"]) for row in _rows(ctx, "models") if str(row["name"]).startswith(incomplete)]


def _rows(ctx: typer.Context, what: str) -> Iterator[dict[str, object]]:
    from cli.apikey import read_key
    from cli.http.client import API, Client
    from cli.output.exit_codes import CliError
    from cli.service import read_address
    from cli.stack.folder import DataFolder
    from cli.stack.lock import find_holder
    from core.errors import DermqError

    given = ctx.params
    try:
        data_dir = given.get("data_dir")
        holder = None if given.get("server") else find_holder(DataFolder.at(Path(data_dir) if data_dir else None).lock)
        url = given.get("server") or (holder and holder.url)
        if not url:
            return
        with Client(read_address(str(url)), read_key(given.get("api_key")), attempts=1) as client:
            yield from list(client.rows(f"{API}/{what}", _JOBS))
    except (CliError, DermqError, OSError):  # whatever is wrong, the command itself will say it
        return
