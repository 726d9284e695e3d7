"""Migrations run up and down on both databases, and end at the schema that the models declare."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from core.db.engine import open_engine
from core.db.models import Base
from core.db.schema.migrate import current_revision, downgrade, head_revision, upgrade
from core.settings import DatabaseSettings


def test_up_down_and_up_again(database_url: str) -> None:
    engine = open_engine(database_url, DatabaseSettings())
    assert current_revision(engine) is None
    upgrade(engine)
    upgrade(engine)
    assert current_revision(engine) == head_revision()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    downgrade(engine, "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    upgrade(engine)
    assert set(Base.metadata.tables) <= set(inspect(engine).get_table_names())
    engine.dispose()
