"""Changing the schema of a PostgreSQL that serves: one migrator at a time, and none that stalls the service.

`ALTER TABLE` needs a lock that waits for every transaction which has touched the table, and while it waits, every later query
on that table waits behind it. So the wait is cut short (lock_timeout), the service has its turn, and the migrator tries again.
Indexes are built CONCURRENTLY (core/db/migrations/online.py).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from core.errors import TransientError
from core.telemetry.logs import get_logger

log = get_logger(__name__)

# Any constant that nobody else locks: PostgreSQL serialises concurrent migrations on it.
ADVISORY_LOCK = 0x6465726D71
_LOCK_NOT_AVAILABLE = "55P03"  # postgresql.org/docs/current/errcodes-appendix.html
_DEADLOCK_DETECTED = "40P01"

_LONGEST = """
SELECT pid, coalesce(nullif(application_name, ''), usename, 'unknown') AS who, state,
       extract(epoch FROM clock_timestamp() - xact_start) AS age_s, left(query, 80) AS query
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
ORDER BY xact_start LIMIT 3
"""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a migration waits, in seconds."""

    lock_s: float = 2.0  # for a table: as long as this the service may stand still behind the migrator
    pause_s: float = 3.0  # between two tries, so that what has queued up is served
    blocked_s: float = 120.0  # for all tries of one run together
    other_migrator_s: float = 1800.0  # for another migrator, who may be building an index


class MigrationBlockedError(TransientError):
    """A table, or the right to migrate, could not be had in time. Steps that are done stay done; run it again."""

    waits_for = "database"


def run_patiently(connection: Connection, work: Callable[[], None], patience: Patience) -> None:
    """Run a migration on PostgreSQL: alone, and again for as long as tables are locked by others.

    Args:
        connection: outside a transaction; it does not go back to its pool, since its session settings are changed.
        work: migrates on this connection, from whatever revision is there.
        patience: its limits.

    Raises:
        MigrationBlockedError: another migrator runs for too long, or transactions of others hold a table.
    """
    try:
        _be_patient(connection, patience)
        with _alone(connection, patience):
            _try_until_unblocked(connection, work, patience)
    finally:
        connection.invalidate()


def _be_patient(connection: Connection, patience: Patience) -> None:
    # A statement may take long (building an index does); it is waiting for locks that is bounded.
    connection.execute(text("SELECT set_config('statement_timeout', '0', false)"))
    connection.execute(
        text("SELECT set_config('lock_timeout', :ms, false)"), {"ms": str(max(1, round(patience.lock_s * 1000)))}
    )
    connection.commit()


@contextmanager
def _alone(connection: Connection, patience: Patience) -> Iterator[None]:
    """Hold the advisory lock of the session.

    Asked for again and again, never waited for: a waiting query holds a snapshot, for which the other migrator's CREATE INDEX
    CONCURRENTLY would wait in turn.
    """
    deadline = time.monotonic() + patience.other_migrator_s
    said = False
    while not _ask(connection, "SELECT pg_try_advisory_lock(:key)"):
        if time.monotonic() > deadline:
            raise MigrationBlockedError(
                f"another migrator has held the database for {patience.other_migrator_s:g} s; it may be building an index. "
                "Wait for it, or look for it in pg_stat_activity, then run this again"
            )
        if not said:
            log.info("waiting_for_another_migrator")
            said = True
        time.sleep(min(0.5, patience.pause_s))
    try:
        yield
    finally:
        if not connection.closed and not connection.invalidated:
            connection.rollback()
            _ask(connection, "SELECT pg_advisory_unlock(:key)")


def _ask(connection: Connection, query: str) -> bool:
    answer = connection.scalar(text(query), {"key": ADVISORY_LOCK})
    connection.commit()  # no transaction stays open: it would hold back the other one's index
    return bool(answer)


def _try_until_unblocked(connection: Connection, work: Callable[[], None], patience: Patience) -> None:
    deadline = time.monotonic() + patience.blocked_s
    while True:
        try:
            work()
        except OperationalError as error:
            connection.rollback()
            if getattr(error.orig, "sqlstate", None) not in (_LOCK_NOT_AVAILABLE, _DEADLOCK_DETECTED):
                raise
            blockers = _longest_transactions(connection)
            if time.monotonic() + patience.pause_s > deadline:
                raise MigrationBlockedError(
                    f"the schema could not be changed within {patience.blocked_s:g} s, because others hold its tables. Longest "
                    f"transactions: {blockers}. End them (SELECT pg_terminate_backend(pid)) or wait, then run this again"
                ) from error
            log.warning("migration_waits", pause_s=patience.pause_s, longest_transactions=blockers)
            time.sleep(patience.pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, keeps no secret
        else:
            return


def _longest_transactions(connection: Connection) -> str:
    rows = connection.execute(text(_LONGEST)).all()
    connection.commit()
    holders = [f"pid {row.pid} ({row.who}, {row.state}) since {row.age_s:.0f} s: {' '.join(row.query.split())}" for row in rows]
    return "; ".join(holders) or "none that is still there"
