"""`python -m core.db.schema.awaiting`: return when the ledger has the schema that this release needs. It migrates nothing.

For what starts beside a migration and must not run before it: initContainers, scripts. A ledger that is newer than this release
is accepted: migrations are written so that the release before goes on working, and its processes may restart meanwhile.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from core.db.engine import open_engine
from core.db.schema.migrate import current_revision, head_revision
from core.environment import start_process
from core.telemetry.logs import get_logger

PATIENCE_S = 300.0
POLL_S = 2.0


class SchemaMissingError(Exception):
    """The ledger has not got this release's schema, and the time is over."""


def await_schema(
    engine: Engine,
    *,
    patience_s: float = PATIENCE_S,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> str:
    """Ask again and again, also while the database is away.

    Returns:
        The ledger's revision.

    Raises:
        SchemaMissingError: it was not there in all that time; says what was.
    """
    deadline = monotonic() + patience_s
    while True:
        try:
            revision = current_revision(engine)
            found = f"is at revision {revision}" if revision else "is empty"
        except DBAPIError as error:
            revision, found = None, f"does not answer: {error.orig}"
        if revision is not None and is_sufficient(revision):
            return revision
        if monotonic() >= deadline:
            raise SchemaMissingError(
                f"expected the ledger at revision {head_revision()} within {patience_s:g} s, but it {found}; "
                "`python -m core.db.schema.migrate` brings it there: see whether it has run, and what it said"
            )
        sleep(POLL_S)


def is_sufficient(revision: str) -> bool:
    """Whether it is this release's newest, or one that this release does not know and that must therefore be newer still."""
    known = {script.revision for script in ScriptDirectory(Path(__file__).parents[1] / "migrations").walk_revisions()}
    return revision == head_revision() or revision not in known


def main() -> int:
    """Wait for the ledger that the settings name."""
    settings = start_process()
    engine = open_engine(settings.database_url, settings.database)
    try:
        get_logger(__name__).info("schema_there", revision=await_schema(engine))
    except SchemaMissingError as error:
        get_logger(__name__).error("schema_missing", reason=str(error))
        return 1
    finally:
        engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
