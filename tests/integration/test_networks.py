"""PostgreSQL and Redis as sites have them: behind PgBouncer, read-only for a while, shared, kept by Sentinel."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import make_url, text

from core.broker import celery_config
from core.brokerclient import open_redis
from core.db.engine import open_engine, reading, transaction
from core.db.schema.migrate import upgrade
from core.errors import DatabaseUnavailableError
from core.settings import BrokerSettings, DatabaseSettings, Settings
from tests.support.servers import accepts, broker_binary, free_port, running, running_broker, wait_until


@contextmanager
def running_pgbouncer(server: str) -> Iterator[int]:
    """PgBouncer in transaction mode, as it comes otherwise, in front of a PostgreSQL; yields its port."""
    address, port = make_url(server), free_port()
    user = "postgres" if os.geteuid() == 0 else None  # it does not run as root
    with tempfile.TemporaryDirectory(prefix="dermq-pgbouncer-") as name:
        folder = Path(name)
        (folder / "users").write_text('"dermq" ""\n')
        (folder / "ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={address.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
            f"auth_type = trust\nauth_file = {folder / 'users'}\npool_mode = transaction\n"
            "default_pool_size = 2\nunix_socket_dir =\n"
        )
        if user:
            for path in (folder, *folder.iterdir()):
                os.chown(path, pwd.getpwnam(user).pw_uid, -1)
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        with tempfile.NamedTemporaryFile() as log, running([program, str(folder / "ini")], log=Path(log.name), user=user):
            wait_until(lambda: accepts(port), timeout_s=20, what="PgBouncer")
            yield port


@pytest.mark.skipif(
    not (shutil.which("pgbouncer") or Path("/usr/sbin/pgbouncer").exists()),
    reason="PgBouncer is not installed (Debian: apt-get install pgbouncer)",
)
@pytest.mark.parametrize("how", ["setting", "url"])
def test_pgbouncer_in_transaction_mode(postgres_url: str, how: str) -> None:
    direct = open_engine(postgres_url, DatabaseSettings())
    upgrade(direct)
    with running_pgbouncer(postgres_url) as port:
        url = make_url(postgres_url).set(port=port, username="dermq", password="").render_as_string(hide_password=False)
        plain = open_engine(url, DatabaseSettings())
        with pytest.raises(DatabaseUnavailableError, match="unsupported startup parameter"), reading(plain) as session:
            session.execute(text("SELECT 1"))
        settings = DatabaseSettings(prepare_threshold=0, statement_timeout_s=7) if how == "setting" else DatabaseSettings()
        engine = open_engine(url if how == "setting" else f"{url}?pgbouncer=true", settings)
        found: list[tuple[int, str, str]] = []

        def work(number: int) -> None:
            for _ in range(12):  # more than what psycopg prepares after, on sessions that change
                with transaction(engine) as session:
                    row = session.execute(
                        text(
                            "SELECT :n + count(*), current_setting('statement_timeout'), current_setting('timezone') FROM jobs"
                        ),
                        {"n": number},
                    ).one()
                    found.append((row[0], row[1], row[2]))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        limit = "7s" if how == "setting" else "30s"
        assert sorted(found) == sorted([(number, limit, "UTC") for number in range(4)] * 12)
        for each in (engine, plain, direct):
            each.dispose()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_addresses_that_hosting_providers_hand_out(postgres_url: str, scheme: str) -> None:
    address = f"{scheme}://{postgres_url.partition('://')[2]}?sslmode=prefer"
    engine = open_engine(DatabaseSettings(url=address).url, DatabaseSettings())
    with reading(engine) as session:
        assert session.execute(text("SELECT 1")).scalar_one() == 1
    engine.dispose()


def test_a_server_that_can_only_be_read_is_away_until_it_can_be_written(postgres_url: str) -> None:
    engine = open_engine(postgres_url, DatabaseSettings())
    upgrade(engine)
    name = make_url(postgres_url).database
    write = text("UPDATE jobs SET name = name")
    with transaction(engine) as session:
        session.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    engine.dispose()
    with pytest.raises(DatabaseUnavailableError, match="can only be read now"), transaction(engine) as session:
        session.execute(write)
    with reading(engine) as session:
        assert session.execute(text("SELECT count(*) FROM jobs")).scalar_one() == 0
        session.execute(text("SET TRANSACTION READ ONLY"))
    with engine.connect() as connection:
        connection.execute(text("SET TRANSACTION READ WRITE"))
        connection.execute(text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))
        connection.commit()
    with pytest.raises(DatabaseUnavailableError), transaction(engine) as session:
        session.execute(write)  # a connection of before; the pool is emptied by it
    with transaction(engine) as session:
        session.execute(write)
    engine.dispose()


def sent_and_taken(settings: Settings) -> int:
    """Messages in the queue `bulk` after one was sent, as Celery and as the plain client see them; then it is taken."""
    with open_redis(settings.broker, 5.0) as redis, Celery(set_as_current=False) as app:
        app.conf.update(celery_config(settings))
        app.send_task("nothing", queue="bulk")
        waiting = int(redis.llen(settings.broker.key_prefix + "bulk"))
        with app.connection_for_read() as connection, connection.SimpleQueue("bulk") as queue:
            queue.get(timeout=10).ack()
        assert redis.llen(settings.broker.key_prefix + "bulk") == 0
        return waiting


def test_a_shared_redis_with_a_user_of_ones_own(tmp_path: Path) -> None:
    with running_broker("redis", tmp_path) as url, Redis.from_url(url) as admin:
        admin.execute_command("ACL", "SETUSER", "dermq", "on", ">s3cret/:@", "~dermq:*", "&dermq:*", "+@all", "-@dangerous")
        admin.execute_command("ACL", "SETUSER", "dermq", "+info")
        own = url.replace("redis://", "redis://dermq@")
        broker = BrokerSettings(url=SecretStr(own), password=SecretStr("s3cret/:@"), key_prefix="dermq:")
        assert sent_and_taken(Settings(broker=broker)) == 1
        assert [key for key in admin.keys("*") if not key.startswith(b"dermq:")] == []


def test_a_redis_that_sentinel_keeps(tmp_path: Path) -> None:
    binary, port = broker_binary("redis"), free_port()
    assert binary is not None
    with running_broker("redis", tmp_path) as url:
        master = make_url(url)
        config = tmp_path / "sentinel.conf"
        config.write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor main 127.0.0.1 {master.port} 1\n")
        with running([str(binary), str(config), "--sentinel"], log=tmp_path / "sentinel.log"):
            wait_until(lambda: accepts(port), timeout_s=20, what="the sentinel")
            address = f"sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}/0?master=main"  # nobody listens at the first
            assert sent_and_taken(Settings(broker=BrokerSettings(url=SecretStr(address)))) == 1
            with pytest.raises(Exception, match="No master found for 'other'"):
                open_redis(BrokerSettings(url=SecretStr(address.replace("main", "other"))), 1.0).ping()


@pytest.mark.parametrize("url", ["sentinel://", "sentinel://host", "sentinel://host:x/0?master=m", "sentinel://h/a?master=m"])
def test_an_address_of_sentinels_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        _ = BrokerSettings(url=SecretStr(url)).sentinels


def test_processors_are_those_that_the_process_may_use() -> None:
    one = sorted(os.sched_getaffinity(0))[0]
    code = "from core.settings import WorkerSettings; print(WorkerSettings().concurrency)"
    command = ["/usr/bin/taskset", "-c", str(one), sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
