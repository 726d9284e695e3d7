"""Bring a database to a revision of the schema, from code: no alembic.ini, the engine is handed in.

`python -m core.db.schema.migrate` brings the ledger of the settings to the newest revision,
`python -m core.db.schema.migrate down REVISION` to an older one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from core.db.engine import open_engine
from core.db.schema.migrationlock import MigrationBlockedError, Patience, run_patiently
from core.environment import start_process
from core.telemetry.logs import get_logger


def upgrade(engine: Engine, revision: str = "head", patience: Patience | None = None) -> None:
    """Migrate up, beside a running service; does nothing on a database that is there already. Concurrent callers take turns.

    A ledger that a newer release has migrated is left as it is: migrations expand, so that this release works on it, too.

    Raises:
        MigrationBlockedError: PostgreSQL's tables are held by others; what is done stays done, run it again.
    """
    if revision == "head" and (found := current_revision(engine)) not in _known_revisions():
        get_logger(__name__).warning("ledger_is_newer", revision=found, newest_known=head_revision())
        return
    _run(engine, "upgrade", revision, patience or Patience())


def downgrade(engine: Engine, revision: str) -> None:
    """Migrate down to a revision, or to "base" (empty)."""
    _run(engine, "downgrade", revision, Patience())


def current_revision(engine: Engine) -> str | None:
    """The database's revision, None if it is empty."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str | None:
    """The newest revision that this code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _known_revisions() -> set[str | None]:
    return {None, *(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _run(engine: Engine, direction: str, revision: str, patience: Patience) -> None:
    config = _config()

    def migrate() -> None:
        getattr(command, direction)(config, revision)

    with engine.connect() as connection:
        config.attributes["connection"] = connection
        if engine.dialect.name == "postgresql":
            run_patiently(connection, migrate, patience)
        else:
            with connection.begin():  # BEGIN IMMEDIATE: other migrators of this file wait, then find it done
                migrate()


def main(arguments: list[str]) -> int:
    """Migrate the ledger that the settings name, and say what it is now."""
    if arguments not in ([], ["up"]) and arguments[:-1] != ["down"]:
        given = " ".join(arguments)
        sys.stderr.write(f"python -m core.db.schema.migrate: expected nothing, `up` or `down REVISION`, got {given!r}\n")
        return 2
    settings = start_process()
    engine = open_engine(settings.database_url, settings.database)
    try:
        before = current_revision(engine)
        if arguments[:1] == ["down"]:
            downgrade(engine, arguments[1])
        else:
            upgrade(engine)
        get_logger(__name__).info("migrated", before=before, now=current_revision(engine))
    except MigrationBlockedError as error:
        get_logger(__name__).error("not_migrated", reason=str(error), now=current_revision(engine))
        return 1
    finally:
        engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
