"""Sources by https://: from a real server with TLS, for the tenants and addresses that the operator allows."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.archives import fetching
from core.archives.fetching import SourceAwayError, check_https, fetch_https
from core.clock import SystemClock
from core.db.engine import transaction
from core.db.preparing import claim_prepare
from core.egress.sending import trusted
from core.errors import ArchiveError, ForbiddenSourceError, JobErrorCode
from core.settings import ApiSettings, EgressSettings, Settings
from core.storage.local import LocalStorage
from tests.integration.api.conftest import make_settings, problem, running_api
from tests.support.certificates import Authority
from tests.support.httpserver import QuietHandler, serving_http
from tests.support.keyed import Keys, bearer
from tests.support.servers import free_port
from worker import prepare
from worker.context import WorkerContext

DATA = bytes(range(256)) * 4000


@dataclass
class Server:
    """Answers by path; keeps what was asked for."""

    url: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    authority, files = Authority(), {}
    signed = authority.sign("localhost")
    for name, text in (("ca", authority.certificate), ("crt", signed.certificate), ("key", signed.key)):
        files[name] = tmp_path / f"server.{name}"
        files[name].write_text(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(files["ca"]))
    trusted.cache_clear()
    found = Server()

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            status = int(self.path.rpartition("/")[2]) if self.path.rpartition("/")[2].isdigit() else 200
            self.send_response(status)
            self.send_header("Location", "https://169.254.169.254/")
            self.send_header("Content-Length", str(len(DATA) + 1 if "cut" in self.path else len(DATA)))
            self.end_headers()
            self.wfile.write(DATA)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["crt"], files["key"])
    with serving_http(Handler, certificate=context) as port:
        found.url = f"https://localhost:{port}"
        yield found
    trusted.cache_clear()


def settings(server: Server, *, inside: bool = True, max_bytes: int = 10**9) -> Settings:
    networks = ("127.0.0.0/8", "::1/128") if inside else ()
    allowed = (f"north={server.url}/north/", "*=https://open.example/")
    return Settings(
        egress=EgressSettings(networks=networks, https_sources=allowed), api=ApiSettings(max_upload_bytes=max_bytes)
    )


def test_what_is_allowed_is_fetched_whole(server: Server, tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "objects")
    fetch_https(f"{server.url}/north/a.zip?x=1", "north", "jobs/a/fetched", storage, settings(server))
    assert server.asked == ["/north/a.zip?x=1"]
    access = storage.open("jobs/a/fetched")
    assert access.read_at(0, access.size) == DATA
    access.close()


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"])
def test_no_proxy_of_the_environment_is_asked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """A proxy would look up the name again, and could be led elsewhere than to the address that was checked."""
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    fetch_https(f"{server.url}/north/a.zip", "north", "jobs/a/fetched", LocalStorage(tmp_path / "objects"), settings(server))
    assert server.asked == ["/north/a.zip"]


@pytest.mark.parametrize(
    ("path", "tenant"),
    [
        ("/north/a", "south"),
        ("/south/a", "north"),
        ("/northern/a", "north"),
        ("/north/../a", "north"),
        ("/north/%2e%2e/a", "north"),
    ],
    ids=["another tenant", "another folder", "a longer name", "dots", "quoted dots"],
)
def test_what_is_not_allowed_is_not_asked(server: Server, tmp_path: Path, path: str, tenant: str) -> None:
    with pytest.raises(ForbiddenSourceError, match="DERMQ_EGRESS_HTTPS_SOURCES"):
        fetch_https(f"{server.url}{path}", tenant, "k", LocalStorage(tmp_path / "objects"), settings(server))
    assert server.asked == []
    check_https("https://open.example/a", tenant, settings(server))
    with pytest.raises(ForbiddenSourceError, match="sources are off"):
        check_https("https://open.example/a", tenant, Settings())


def test_an_allowed_name_that_leads_inside_is_not_asked(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ForbiddenSourceError) as refused:
        fetch_https(f"{server.url}/north/a", "north", "k", LocalStorage(tmp_path / "objects"), settings(server, inside=False))
    assert "127.0.0.1" not in str(refused.value)
    assert server.asked == []


@pytest.mark.parametrize(
    ("path", "code"),
    [("404", JobErrorCode.ARCHIVE_GONE), ("403", JobErrorCode.SOURCE_DENIED), ("302", JobErrorCode.UNREADABLE_ARCHIVE)],
)
def test_answers_that_fail_the_job(server: Server, tmp_path: Path, path: str, code: JobErrorCode) -> None:
    storage = LocalStorage(tmp_path / "objects")
    with pytest.raises(ArchiveError) as failed:
        fetch_https(f"{server.url}/north/{path}", "north", "k", storage, settings(server))
    assert failed.value.code == code
    assert server.asked == [f"/north/{path}"]
    assert list(storage.list("")) == []


def test_what_is_too_large_breaks_off_or_is_away(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path / "objects")
    with pytest.raises(ArchiveError, match="limit of 1000 bytes") as failed:
        fetch_https(f"{server.url}/north/a", "north", "k", storage, settings(server, max_bytes=1000))
    assert failed.value.code == JobErrorCode.ARCHIVE_BOMB
    monkeypatch.setattr(fetching, "IDLE_S", 1.0)
    for path in ("503", "429", "cut"):
        with pytest.raises(SourceAwayError):
            fetch_https(f"{server.url}/north/{path}", "north", "k", storage, settings(server))
    away = f"https://localhost:{free_port()}"
    with pytest.raises(SourceAwayError):
        fetch_https(f"{away}/a", "north", "k", storage, _only(away))
    assert list(storage.list("")) == []


def _only(url: str) -> Settings:
    return Settings(egress=EgressSettings(networks=("127.0.0.0/8", "::1/128"), https_sources=(f"north={url}/",)))


def test_a_certificate_that_nobody_vouches_for(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    trusted.cache_clear()
    with pytest.raises(SourceAwayError):
        fetch_https(f"{server.url}/north/a", "north", "k", LocalStorage(tmp_path / "objects"), settings(server))
    assert server.asked == []


def test_from_the_submission_to_the_storage(server: Server, tmp_path: Path) -> None:
    """The API takes it for the tenant that may, and a worker that prepares the job has it in the storage."""
    api_settings = ApiSettings(port=free_port(), watch_interval_s=0, require_keys=True)
    whole = make_settings(tmp_path / "data", api=api_settings, egress=settings(server).egress)
    source = {"source": f"{server.url}/north/a.zip", "path_column": "image"}
    with running_api(whole) as api:
        keys = Keys(api.engine)
        north, south = bearer(keys.make("north")), bearer(keys.make("south"))
        problem(api.client.post("/v1/jobs", json=source, headers=south), 403, "forbidden_source")
        problem(api.client.post("/v1/jobs", json={"source": "https://x@localhost/"}, headers=north), 400, "invalid_request")
        taken = api.client.post("/v1/jobs", json=source, headers=north)
        assert taken.status_code == 202, taken.text
        assert taken.json()["name"] == "a.zip"
        assert server.asked == [], "the worker fetches it"
        job_id = uuid.UUID(taken.json()["id"])
        with transaction(api.engine) as session:
            claim = claim_prepare(session, job_id, owner="w", now=SystemClock().now(), lease_s=60)
        assert claim is not None
        context = WorkerContext.open(whole, list)
        try:
            at_hand = prepare._at_hand(context, claim)
        finally:
            context.close()
        key = f"jobs/{job_id}/fetched"
        assert at_hand == {"kind": "upload", "key": key, "filename": "a.zip", "path_column": "image"}
        assert [info.size for info in api.storage.list(key)] == [len(DATA)]
