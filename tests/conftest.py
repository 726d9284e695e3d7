"""Fixtures that all tests share: real servers, real data, and the rule that CI skips nothing."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine

from core.db.engine import open_engine
from core.db.schema.migrate import upgrade
from core.settings import DatabaseSettings
from tests.support.databases import own_database, without_syncing
from tests.support.servers import ROOT, broker_binary, postgres_programs, running_broker, running_postgres, running_serving
from tests.support.tiny_model import export_tiny_model

# TensorFlow brings an SQLite of its own. Where it is loaded first, that one answers in the place of pysqlite3's. Two versions
# would then open a ledger at once: the one of the tests' process, and the one of the workers that it starts.
if find_spec("pysqlite3"):
    import_module("pysqlite3.dbapi2")

# Tests start hundreds of Python processes. Without bytecode on disk, each compiles its packages again: TensorFlow for 5 s.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Tests assert no times: the machines are shared.
settings.register_profile("dermq", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dermq")

FORBID_SKIPS = os.environ.get("DERMQ_TEST_FORBID_SKIPS") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """In CI a skipped test is a failed one: what a test needs is installed there."""
    report = yield
    if FORBID_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where skipping is forbidden: {report.longrepr}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """A developer's DERMQ_* variables do not reach the tests, nor the servers that several tests share."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in list(os.environ):
            if name.startswith("DERMQ_") and not name.startswith("DERMQ_TEST_"):
                monkeypatch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """A command that is run in this process writes its log to this test's stderr, which is closed when the test ends."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler and handler not in handlers:
            root.removeHandler(handler)
            root.setLevel(level)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and models beside the checkout."""
    folder = Path(os.environ.get("DERMQ_TEST_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder.name}/: they are not part of the repository")
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server, without a database name."""
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with running_postgres() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of an empty database of its own."""
    with own_database(postgres_server, f"test_{abs(hash(request.node.nodeid)):x}") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A migrated ledger on each kind of database."""
    engine = without_syncing(open_engine(database_url, DatabaseSettings()))
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture(params=["valkey", "redis"])
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh broker of each kind in turn."""
    if broker_binary(request.param) is None:
        pytest.skip("Redis is not installed (Debian: apt-get install redis-server)")
    folder = tmp_path / "broker"
    folder.mkdir()
    with running_broker(request.param, folder) as url:
        yield url


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base path of the model `tiny`, versions 1 and 2; version 2 refuses images whose mean is 77."""
    base = tmp_path_factory.mktemp("models") / "tiny"
    export_tiny_model(base, 1)
    export_tiny_model(base, 2, bias=0.5, rejecting=True)
    return base


@pytest.fixture(scope="session")
def serving_address(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded server with the model `tiny` (latest version only: 2)."""
    with running_serving(tiny_models, "tiny", tmp_path_factory.mktemp("serving") / "serving.log") as address:
        yield address
