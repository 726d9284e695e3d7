"""Engines and transactions, with the settings each database needs to keep its promises.

SQLite: BEGIN IMMEDIATE for writers (no deadlock by lock upgrade), a busy timeout, synchronous=FULL, foreign keys on. Its
write-ahead log is used only from 3.51.3 on: before that, concurrent checkpoints can corrupt a database
(sqlite.org/wal.html#walresetbug). Where Python's own SQLite is older, the package pysqlite3 brings a newer one; without it a
rollback journal is used that is kept from commit to commit (PERSIST). With synchronous=FULL each of them has synced a commit
before it returns.
PostgreSQL: connect and statement time-outs, pre-ping, so that no call waits without bound.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import stamina
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from core.errors import ConfigurationError, DatabaseUnavailableError
from core.filesystems import remote_filesystem
from core.settings import DatabaseSettings

T = TypeVar("T")

SQLITE_WAL_SAFE_FROM = (3, 51, 3)
_LOCK_LOOK_S = 0.001
_READ_ONLY = "25006"  # read_only_sql_transaction, of PostgreSQL's table of errors


def open_engine(url: str, settings: DatabaseSettings) -> Engine:
    """Create an engine for the ledger. Call it after a fork, never before; dispose it in the lifespan that made it."""
    if make_url(url).get_backend_name() == "sqlite":
        return _open_sqlite(url, settings)
    return _open_postgresql(url, settings)


def _open_postgresql(url: str, settings: DatabaseSettings) -> Engine:
    address = make_url(url)
    pooled = settings.prepare_threshold == 0 or address.query.get("pgbouncer") == "true"
    limits = {"statement_timeout": str(settings.statement_timeout_s * 1000), "timezone": "UTC"}
    engine = create_engine(
        address.difference_update_query(["pgbouncer"]),
        pool_size=settings.pool_size,
        max_overflow=settings.pool_size,
        pool_pre_ping=True,
        pool_timeout=settings.connect_timeout_s,
        pool_recycle=1800,
        connect_args={
            "connect_timeout": settings.connect_timeout_s,
            # Half-open connections end after about 20 s instead of the kernel's two hours.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "tcp_user_timeout": 20_000,
            "application_name": "dermq",
            "prepare_threshold": None if pooled else settings.prepare_threshold,
            # PgBouncer refuses these, and gives each transaction another session.
            **({} if pooled else {"options": " ".join(f"-c {name}={value}" for name, value in limits.items())}),
        },
    )
    if pooled:
        settle = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in limits.items())

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(f"SELECT {settle}")

    return engine


def _open_sqlite(url: str, settings: DatabaseSettings) -> Engine:
    database = make_url(url).database
    if database and database != ":memory:" and not database.startswith("file:"):
        _require_own_disk(Path(database))
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    driver = _sqlite_driver()
    engine = create_engine(
        url, module=driver, connect_args={"timeout": settings.statement_timeout_s, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # The driver must not open transactions of its own: "begin" below decides between reading and writing.
        connection.isolation_level = None
        ends = time.monotonic() + settings.statement_timeout_s
        journal = "WAL" if driver.sqlite_version_info >= SQLITE_WAL_SAFE_FROM else "PERSIST"
        for pragma in (
            f"journal_mode={journal}",
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-16000",
        ):
            # Not left to the busy handler: SQLite does not ask it where another one writes to a file that has no log yet.
            _try_until(ends, connection, driver, f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("dermq_read_only", False):
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_writing(connection, driver, settings.statement_timeout_s)

    return engine


def _begin_writing(connection: Connection, driver: Any, timeout_s: float) -> None:
    """BEGIN IMMEDIATE, tried every millisecond while another process writes.

    SQLite's own busy handler sleeps longer each time, up to 0.1 s: a lock that others hold for some milliseconds is then found
    free late, and those who come later go first.
    """
    ends = time.monotonic() + timeout_s
    raw: Any = connection.connection.dbapi_connection
    raw.execute("PRAGMA busy_timeout=0")
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as error:
        if not _is_busy(error.orig, driver):
            raise
        try:
            _try_until(ends, raw, driver, "BEGIN IMMEDIATE")
        except driver.OperationalError:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # so that the error is one of SQLAlchemy
    finally:
        raw.execute(f"PRAGMA busy_timeout={1000 * timeout_s:.0f}")


def _try_until(ends: float, raw: Any, driver: Any, statement: str) -> None:
    """Run a statement as soon as the file's lock is free.

    Raises:
        driver.OperationalError: it was not free before `ends`, a time of the monotonic clock; or another error.
    """
    while True:
        try:
            raw.execute(statement)
        except driver.OperationalError as error:
            if not _is_busy(error, driver) or time.monotonic() >= ends:
                raise
        else:
            return
        time.sleep(_LOCK_LOOK_S)


def _is_busy(error: object, driver: Any) -> bool:
    code = getattr(error, "sqlite_errorcode", None)  # with an extended code in the higher bits
    return code is not None and code & 0xFF == driver.SQLITE_BUSY


def _require_own_disk(database: Path) -> None:
    kind = remote_filesystem(database.absolute().parent.resolve())
    if kind is not None:
        raise ConfigurationError(
            f"the ledger {database} would lie on a file system of another machine ({kind}), where SQLite's locks do not hold: "
            "name a data folder on a disk of this machine (DERMQ_DATA_DIR, --data-dir), or a PostgreSQL (DERMQ_DATABASE_URL)"
        )


def _sqlite_driver() -> Any:
    """Python's own if its SQLite may use a write-ahead log; else the package pysqlite3 where it is there."""
    if sqlite3.sqlite_version_info >= SQLITE_WAL_SAFE_FROM or find_spec("pysqlite3") is None:
        return sqlite3
    return import_module("pysqlite3.dbapi2")


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """One writing transaction: commits at the end, rolls back on an error.

    Raises:
        DatabaseUnavailableError: the database is away, locked for too long, or the connection was lost. The outcome of a
            COMMIT may then be unknown: every transaction of the ledger is written so that it can simply be run again.
    """
    with _translated(engine), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


def retrying_transaction(engine: Engine, work: Callable[[Session], T], *, timeout_s: float = 45.0) -> T:
    """Run an idempotent transaction until its outcome is known.

    A connection lost during COMMIT leaves the outcome open; fenced work can be run again, and finds out.

    Raises:
        DatabaseUnavailableError: the database stayed away for `timeout_s`.
    """
    for attempt in stamina.retry_context(
        on=DatabaseUnavailableError, attempts=None, timeout=timeout_s, wait_initial=0.05, wait_max=2.0, wait_jitter=0.1
    ):
        with attempt, transaction(engine) as session:
            result = work(session)
    return result


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """One short reading transaction; on SQLite it does not queue for the writer's lock.

    Raises:
        DatabaseUnavailableError: as `transaction`.
    """
    with (
        _translated(engine),
        engine.connect().execution_options(dermq_read_only=True) as connection,
        Session(connection, expire_on_commit=False) as session,
        session.begin(),
    ):
        yield session


def read_time(engine: Engine) -> datetime:
    """The present instant by the database's clock, UTC. SQLite has no clock but that of this machine.

    Raises:
        DatabaseUnavailableError: as `transaction`.
    """
    if engine.dialect.name == "sqlite":
        return datetime.now(UTC)
    with reading(engine) as session:
        instant: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        return instant.astimezone(UTC)


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError as error:
        raise DatabaseUnavailableError(
            f"database {engine.url.render_as_string()}: no connection came free ({error})"
        ) from error
    except (OperationalError, InterfaceError) as error:
        raise DatabaseUnavailableError(f"database {engine.url.render_as_string()} does not answer: {error.orig}") from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _READ_ONLY:
            engine.dispose()  # the next connection may find the server that can be written
            raise DatabaseUnavailableError(
                f"database {engine.url.render_as_string()} can only be read now: it is a standby, or fails over"
            ) from error
        if error.connection_invalidated:
            raise DatabaseUnavailableError(
                f"database {engine.url.render_as_string()}: connection lost: {error.orig}"
            ) from error
        raise
