"""Alembic's entry point. The connection comes from core.db.schema.migrate; there is no offline mode and no ini file."""

from alembic import context
from sqlalchemy import Connection

from core.db.access import tables
from core.db.models import Base
from core.db.review import tables as review_tables
from core.db.truth import tables as truth_tables
from core.db.uploads import tables as upload_tables
from core.db.webhooks import tables as webhook_tables

_TABLES = (tables, review_tables, truth_tables, upload_tables, webhook_tables)  # imported so that the metadata knows them


def _migrate(connection: Connection) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=is_sqlite,
        compare_type=True,
        # PostgreSQL: no lock is held longer than its own step takes.
        # SQLite: core.db.schema.migrate began one transaction for all steps.
        transaction_per_migration=not is_sqlite,
    )
    with context.begin_transaction():
        context.run_migrations()


_migrate(context.config.attributes["connection"])
