"""A real API under uvicorn on a free port, over a real ledger and storage; jobs are moved on by the ledger's own queries."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import structlog
import uvicorn
from sqlalchemy import Engine

from api.__main__ import make_server
from core.archives.base import ArchiveKind, ArchiveRef, Member
from core.archives.open import open_archive
from core.clock import SystemClock
from core.db.chunks import claim_chunk, finish_chunk
from core.db.engine import open_engine, transaction
from core.db.jobs import NewJob, create_job
from core.db.models import LOCAL_TENANT_ID
from core.db.outcomes import ItemOutcome
from core.db.preparing import ChunkPlan, PreparedJob, claim_prepare, start_job
from core.db.schema.migrate import upgrade
from core.db.window import WindowPolicy
from core.errors import ItemErrorCode
from core.settings import (
    ApiSettings,
    BrokerSettings,
    DatabaseSettings,
    DataSettings,
    ServingSettings,
    Settings,
    StorageSettings,
)
from core.storage.base import ObjectStorage
from core.storage.factory import open_storage
from tests.support.servers import free_port, running_broker, running_serving, wait_until
from tests.support.stack import jpeg, worker_stack, write_zip
from tests.support.tiny_model import export_tiny_model

CLASSES = ("akiec", "bcc", "mel", "nv")
SPEC: dict[str, Any] = {
    "name": "tiny",
    "classes": list(CLASSES),
    "input_height": 28,
    "input_width": 28,
    "malignant": ["akiec", "bcc", "mel"],
    "thresholds": {"sensitive": 0.5},
    "operating_point": "sensitive",
    "preprocessing_hash": "x",
}
POLICY = WindowPolicy(window=1000, republish_s=30)


@dataclass
class Api:
    """One running server and the ledger behind it."""

    settings: Settings
    engine: Engine
    storage: ObjectStorage
    client: httpx2.Client
    clock: SystemClock = field(default_factory=SystemClock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.api.port}"

    def stored(self) -> list[str]:
        return [info.key for info in self.storage.list("")]

    def submit(self, **changes: object) -> uuid.UUID:
        fields = {"tenant_id": LOCAL_TENANT_ID, "name": "a.zip", "source": {"kind": "path", "path": "/a.zip"}, "model": "tiny"}
        with transaction(self.engine) as session:
            return create_job(session, NewJob(**{**fields, **changes}), self.clock.now()).id  # type: ignore[arg-type]

    def start(
        self,
        job_id: uuid.UUID,
        *,
        items: int,
        chunk_items: int = 5000,
        archive: ArchiveRef | None = None,
        index: bytes = b"",
        **more: Any,
    ) -> None:
        """What prepare commits; `more` are fields of PreparedJob."""
        ref = archive or ArchiveRef(ArchiveKind.ZIP, "storage", "k", "a.zip")
        plans = [ChunkPlan(at, min(chunk_items, items - at), 0, len(index)) for at in range(0, items, chunk_items)]
        with transaction(self.engine) as session:
            claim = claim_prepare(session, job_id, owner="w", now=self.clock.now(), lease_s=60)
            assert claim is not None
            prepared = PreparedJob(archive=ref.to_json(), version=3, modelspec=SPEC, skipped=2, chunks=plans, **more)
            start_job(session, claim, prepared, POLICY, self.clock.now())

    def finish(self, job_id: uuid.UUID, chunk_no: int, outcome: Callable[[int], ItemOutcome]) -> None:
        """What classify commits."""
        with transaction(self.engine) as session:
            claim = claim_chunk(session, job_id, chunk_no, owner="w", now=self.clock.now(), lease_s=60)
            assert claim is not None
        with transaction(self.engine) as session:
            outcomes = [outcome(number) for number in claim.item_numbers]
            assert finish_chunk(session, claim, outcomes, self.clock.now())

    def run(self, items: int, outcome: Callable[[int], ItemOutcome], **changes: object) -> uuid.UUID:
        """A whole job."""
        job_id = self.submit(**changes)
        self.start(job_id, items=items)
        for chunk_no in range(-(-items // 5000)):
            self.finish(job_id, chunk_no, outcome)
        return job_id


def scored(number: int, probabilities: Sequence[float], name: str | None = None) -> ItemOutcome:
    """A succeeded item, as the worker computes it."""
    values = np.array(probabilities, np.float32)
    best = int(values.argmax())
    risk = float(values[:3].sum(dtype=np.float32))
    return ItemOutcome(
        number,
        f"images/{number:06}.jpg" if name is None else name,
        label=CLASSES[best],
        score=float(values[best]),
        risk=risk,
        probabilities=values.astype("<f4").tobytes(),
        flag=risk >= 0.5,
        width=600,
        height=450,
    )


def failed(number: int, code: ItemErrorCode = ItemErrorCode.TRUNCATED, name: str | None = None) -> ItemOutcome:
    return ItemOutcome(
        number, f"images/{number:06}.jpg" if name is None else name, error_code=code, error=f"item {number}: why"
    )


def index_of(members: Sequence[Member]) -> bytes:
    return b"".join(member.to_line() for member in members)


def store_zip(api: Api, path: Path, members: Iterable[tuple[str, bytes]]) -> tuple[ArchiveRef, list[Member]]:
    """A ZIP in the storage, as an upload leaves it, and what a worker lists in it."""
    key = f"uploads/{uuid.uuid4()}/archive"
    with api.storage.writer(key) as writer:
        writer.write(write_zip(path, members).read_bytes())
        writer.commit()
    ref = ArchiveRef(ArchiveKind.ZIP, "storage", key, path.name)
    archive = open_archive(ref, api.storage, api.settings)
    listed = list(archive.members())
    archive.close()
    return ref, listed


def start_prepared(api: Api, ref: ArchiveRef, members: Sequence[Member], **changes: Any) -> uuid.UUID:
    """A job that runs, with the index of a real archive."""
    job_id = api.submit(**changes)
    index = index_of(members)
    with api.storage.writer(f"jobs/{job_id}/index") as writer:
        writer.write(index)
        writer.commit()
    api.start(job_id, items=len(members), archive=ref, index=index)
    return job_id


def make_settings(folder: Path, **parts: Any) -> Settings:
    """Settings of a server of its own: nobody listens where broker and serving should be, unless a test says otherwise."""
    defaults: dict[str, Any] = {
        "data": DataSettings(data_dir=folder),
        "database": DatabaseSettings(),
        "broker": BrokerSettings(url=f"redis://127.0.0.1:{free_port()}/0", socket_timeout_s=1.0),
        "storage": StorageSettings(),
        "serving": ServingSettings(address=f"127.0.0.1:{free_port()}", default_model="tiny", timeout_s=1.0),
        "api": ApiSettings(port=free_port(), watch_interval_s=0),
    }
    return Settings(**{**defaults, **parts})


@contextmanager
def running_server(settings: Settings) -> Iterator[uvicorn.Server]:
    server = make_server(settings)
    thread = threading.Thread(target=server.run, name="api")
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), timeout_s=20, what="the API")
        yield server
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server did not end"


@contextmanager
def running_api(settings: Settings) -> Iterator[Api]:
    engine = open_engine(settings.database_url, settings.database)
    upgrade(engine)
    with (
        running_server(settings),
        httpx2.Client(base_url=f"http://127.0.0.1:{settings.api.port}", timeout=20) as client,
    ):
        yield Api(settings, engine, open_storage(settings.storage_url, settings.storage), client)
    engine.dispose()


@pytest.fixture(scope="session", autouse=True)
def _silence() -> Iterator[None]:
    """Servers in threads log beyond the test that started them: into nothing, not into another test's captured output."""
    structlog.configure(processors=[_drop], logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


def _drop(_logger: Any, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that the tests of a module share; SQLite, a local folder, neither broker nor serving."""
    folder = tmp_path_factory.mktemp("api")
    roots = (folder / "allowed",)
    roots[0].mkdir()
    port = free_port()
    with running_api(
        make_settings(
            folder,
            api=ApiSettings(
                port=port,
                watch_interval_s=0,  # tests lay out what a job says
                max_upload_bytes=8_000_000,
                source_roots=roots,
                allow_s3_sources=("s3://clinic/2026",),
                classify_wait_s=1.5,
            ),
        )
    ) as running:
        yield running


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, serving_address: str) -> Iterator[Api]:
    """A server with a real broker, a real worker and a real model server behind it."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "broker").mkdir()
    with (
        running_broker("valkey", folder / "broker") as broker_url,
        worker_stack(
            folder, database_url=f"sqlite:///{folder / 'dermq.db'}", broker_url=broker_url, serving_address=serving_address
        ) as stack,
    ):
        stack.env["DERMQ_SERVING_DEFAULT_MODEL"] = "tiny"
        with running_api(replace(stack.settings, api=ApiSettings(port=free_port()))) as api:
            stack.start_worker()
            yield api


@pytest.fixture(scope="session")
def explaining_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A model server with a model `tiny` that has the signature `explain`."""
    folder = tmp_path_factory.mktemp("explaining")
    export_tiny_model(folder / "tiny", 1, explaining=True)
    with running_serving(folder / "tiny", "tiny", folder / "serving.log") as address:
        yield address


@pytest.fixture(scope="module")
def explaining(tmp_path_factory: pytest.TempPathFactory, explaining_address: str) -> Iterator[Api]:
    """A server before it that answers single pictures at once."""
    serving = ServingSettings(address=explaining_address, default_model="tiny")
    with running_api(make_settings(tmp_path_factory.mktemp("saliency"), serving=serving)) as api:
        warm_up(api)
        yield api


def warm_up(api: Api) -> None:
    """Wait until the processes decode that single pictures go to."""
    soon(lambda: classify(api, jpeg(9), 1).status_code == 200, "a direct answer", 60)


def classify(api: Api, data: bytes, wait_s: int = 20) -> httpx2.Response:
    return api.client.post("/v1/classify", content=data, params={"name": "a.png"}, headers={"Prefer": f"wait={wait_s}"})


@pytest.fixture(params=["sqlite", "postgresql"])
def any_api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Api]:
    """A server on each kind of database."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with running_api(make_settings(tmp_path, database=DatabaseSettings(url=url))) as running:
        yield running


def problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is a problem of that kind."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["detail"]
    assert body["type"].startswith("/v1/problems/")
    return body


def soon(condition: Callable[[], bool], what: str, timeout_s: float = 10) -> None:
    wait_until(condition, timeout_s=timeout_s, what=what)
