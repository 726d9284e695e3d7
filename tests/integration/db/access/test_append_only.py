"""The audit is only added to: the database itself refuses anything else."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, delete, func, select, text, update
from sqlalchemy.exc import DatabaseError

from core.access.callers import local_caller
from core.clock import SystemClock
from core.db.access.tables import AuditEvent
from core.db.access.tenants import create_tenant
from core.db.engine import reading, transaction
from core.db.models import LOCAL_TENANT_ID, ModelEvent
from core.db.versions import ModelAction, NewEvent, record_event


@pytest.mark.parametrize("table", [AuditEvent, ModelEvent], ids=["audit", "models"])
def test_records_are_neither_changed_nor_removed(engine: Engine, table: type[AuditEvent] | type[ModelEvent]) -> None:
    now = SystemClock().now()
    with transaction(engine) as session:
        create_tenant(session, local_caller(LOCAL_TENANT_ID, "ada"), "north", now)
        record_event(session, NewEvent("ada", ModelAction.PROMOTE, "tiny", 2), now)
    attempts = [update(table).values(actor="nobody"), delete(table)]
    if engine.dialect.name == "postgresql":
        attempts.append(text(f"TRUNCATE {table.__tablename__}"))
    for attempt in attempts:
        with pytest.raises(DatabaseError, match="only added to"), transaction(engine) as session:
            session.execute(attempt)
    with reading(engine) as session:
        assert session.scalars(select(table.actor)).all() == ["ada"]
        assert session.scalar(select(func.count()).select_from(table)) == 1
