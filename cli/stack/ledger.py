"""Readies the ledger before anything uses it: `python -m cli.stack.ledger`. A process of its own, so that the supervisor stays
small, and so that its failure is in a log like any other's.
"""

from __future__ import annotations

from core.db.engine import open_engine, read_time, transaction
from core.db.maintenance.rescue import expire_all_leases
from core.db.schema.migrate import current_revision, upgrade
from core.environment import start_process
from core.telemetry.logs import get_logger


def ready_ledger() -> None:
    """Migrate to the newest schema, and end the leases of the last run: its workers are dead, nobody will keep them."""
    settings = start_process()
    engine = open_engine(settings.database_url, settings.database)
    try:
        upgrade(engine)
        with transaction(engine) as session:
            expire_all_leases(session, read_time(engine))
        get_logger(__name__).info("ledger_ready", revision=current_revision(engine))
    finally:
        engine.dispose()


if __name__ == "__main__":
    ready_ledger()
