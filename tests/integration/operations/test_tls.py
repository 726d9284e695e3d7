"""Broker and database over TLS, verified, and a broker's user with the least rights: a real run, and who is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import create_engine, text

from core.environment import read_settings
from core.errors import ConfigurationError
from core.settings import BrokerSettings
from tests.support.certificates import Authority
from tests.support.databases import own_database
from tests.support.servers import ROOT, running_postgres, running_tls_broker
from tests.support.stack import pictures, worker_stack, write_zip

PASSWORD = "a-word-of-this-test"
ADMIN = "user admin on >admin ~* &* +@all"


@dataclass
class Tls:
    """A broker, and the authority that signs its certificate."""

    folder: Path
    authority: Authority
    ca: Path
    port: int

    @property
    def url(self) -> str:
        return f"rediss://dermq:{PASSWORD}@127.0.0.1:{self.port}/0"


def least_rights() -> str:
    """The user of deploy/redis-user.acl."""
    [line] = [line for line in (ROOT / "deploy" / "redis-user.acl").read_text().splitlines() if line.startswith("user ")]
    return line.replace("PASSWORD", PASSWORD)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    folder, authority = tmp_path_factory.mktemp("tls"), Authority()
    ca = folder / "ca.pem"
    ca.write_text(authority.certificate)
    users = ["user default off", ADMIN, least_rights()]
    with running_tls_broker(folder, authority.sign("localhost"), users) as port:
        yield Tls(folder, authority, ca, port)


def connect(settings: BrokerSettings) -> None:
    with Redis.from_url(settings.full_url, **settings.tls_options, socket_timeout=5) as redis:
        redis.ping()


def test_the_brokers_certificate_and_its_name_are_verified(tls: Tls, tmp_path: Path) -> None:
    connect(BrokerSettings(url=tls.url, ca=tls.ca))
    other = tmp_path / "other.pem"
    other.write_text(Authority("another").certificate)
    for settings in (BrokerSettings(url=tls.url, ca=other), BrokerSettings(url=tls.url)):
        with pytest.raises(RedisError, match="certificate verify failed"):
            connect(settings)
    named = BrokerSettings(url=tls.url.replace("127.0.0.1", "127.0.0.2"), ca=tls.ca)
    with pytest.raises((RedisError, OSError)):
        connect(named)
    with pytest.raises(ValueError, match="rediss:// is always verified"):
        BrokerSettings(url=f"{tls.url}?ssl_cert_reqs=none")


def test_a_broker_without_a_password_beyond_loopback_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("redis://203.0.113.9:6379/0", "rediss://redis.example:6379/0", "redis://[2001:db8::1]/0"):
        monkeypatch.setenv("DERMQ_BROKER_URL", url)
        with pytest.raises(ConfigurationError, match="expected a password for the broker"):
            read_settings()
        monkeypatch.setenv("DERMQ_BROKER_PASSWORD", PASSWORD)
        read_settings()
        monkeypatch.delenv("DERMQ_BROKER_PASSWORD")
    for url in ("redis://127.0.0.1:6379/0", "redis://localhost/0", "unix:///run/redis.sock"):
        monkeypatch.setenv("DERMQ_BROKER_URL", url)
        read_settings()


def say_tls(url: str) -> str:
    """Whether a process of DermQ speaks TLS to a database: `True`, or why it does not reach it.

    In a process of its own, as DermQ's are: TensorFlow, which other tests load here, brings another OpenSSL than psycopg.
    """
    code = """
import sys
from sqlalchemy import text
from core.db.engine import open_engine, reading
from core.settings import DatabaseSettings
with reading(open_engine(sys.argv[1], DatabaseSettings())) as session:
    print(session.execute(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")).scalar_one())
"""
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=False, cwd=ROOT)
    return (done.stdout + done.stderr).strip().splitlines()[-1]


@pytest.fixture(scope="module")
def database(tls: Tls) -> Iterator[str]:
    """A database whose user tls_only must speak TLS; its superuser need not."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PGSSLMODE", "disable")  # of this process; an address that says sslmode is not touched by it
        with running_postgres(tls=tls.authority.sign("localhost")) as server, own_database(server, "over_tls") as plain:
            engine = create_engine(plain)
            with engine.begin() as connection:
                connection.execute(text("CREATE ROLE tls_only SUPERUSER LOGIN"))
            engine.dispose()
            yield plain


def over_tls(plain: str, ca: Path) -> str:
    return f"{plain.replace('//dermq@', '//tls_only@')}?sslmode=verify-full&sslrootcert={ca}"


def test_the_databases_certificate_is_verified_as_the_address_says(tls: Tls, database: str, tmp_path: Path) -> None:
    assert say_tls(over_tls(database, tls.ca)) == "True"
    other = tmp_path / "other.pem"
    other.write_text(Authority("another").certificate)
    assert "certificate verify failed" in say_tls(over_tls(database, other))
    assert "rejects connection" in say_tls(over_tls(database, tls.ca).replace("verify-full", "disable"))


def test_a_job_over_tls_with_the_least_rights(tls: Tls, database: str, tmp_path: Path, serving_address: str) -> None:
    """Postgres with sslmode=verify-full, Redis with rediss:// and the user of deploy/redis-user.acl."""
    with worker_stack(tmp_path, database_url=database, broker_url=tls.url, serving_address=serving_address) as stack:
        stack.env |= {"DERMQ_BROKER_CA": str(tls.ca), "DERMQ_DATABASE_URL": over_tls(database, tls.ca)}
        stack.start_worker()
        stack.start_beat()
        job_id = stack.submit(write_zip(tmp_path / "a.zip", pictures(60)))
        assert stack.wait(job_id, timeout_s=120).succeeded == 60
        logs = "".join(path.read_text(errors="replace") for path in tmp_path.glob("*.log"))
    assert "NOPERM" not in logs
    admin = f"rediss://admin:admin@127.0.0.1:{tls.port}/0"
    with Redis.from_url(admin, ssl_ca_certs=str(tls.ca), ssl_cert_reqs="required") as redis:
        denied = [entry["object"] for entry in redis.acl_log() if entry["object"] != "client|setinfo"]
        keys = sorted(redis.keys("*"))
    assert denied == []
    assert all(key.startswith((b"dermq.", b"_kombu.binding", b"unacked")) for key in keys)


def test_the_least_rights_are_no_more(tls: Tls) -> None:
    with Redis.from_url(tls.url, ssl_ca_certs=str(tls.ca)) as redis:
        for command in (
            ("KEYS", "*"),
            ("FLUSHALL",),
            ("CONFIG", "GET", "*"),
            ("GET", "other"),
            ("SUBSCRIBE", "x"),
            ("ACL", "LIST"),
        ):
            with pytest.raises(RedisError, match=r"(?i)permission"):
                redis.execute_command(*command)
    with (
        Redis.from_url(f"rediss://:{PASSWORD}@127.0.0.1:{tls.port}/0", ssl_ca_certs=str(tls.ca)) as redis,
        pytest.raises(RedisError),
    ):
        redis.ping()
