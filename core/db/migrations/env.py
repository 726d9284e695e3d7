"""Alembic's entry point. The connection comes from core.db.migrate; there is no offline mode and no ini file."""

from alembic import context
from sqlalchemy import Connection, text

from core.db.models import Base

# Any constant that nobody else locks: PostgreSQL serialises concurrent migrations on it.
_ADVISORY_LOCK = 0x6465726D71


def _migrate(connection: Connection) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=is_sqlite,
        compare_type=True,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        if not is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        context.run_migrations()


_migrate(context.config.attributes["connection"])
