"""tus 1.0: an upload in parts goes on where it was, is its tenant's alone, and becomes a job. On both databases."""

from __future__ import annotations

import base64
import hashlib
import shutil
import socket
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

from core.db.engine import transaction
from core.db.models import Tenant
from core.db.strays import check_prefixes
from core.db.uploads.partial import MOST_OPEN, note_used, remove_expired
from core.db.uploads.tables import PartialUpload
from core.settings import ApiSettings
from tests.integration.api.conftest import Api, make_settings, problem, running_api
from tests.support.keyed import Keys, bearer
from tests.support.servers import free_port, wait_until
from tests.support.stack import png, write_zip

TUS = {"Tus-Resumable": "1.0.0"}
PART = {**TUS, "Content-Type": "application/offset+octet-stream"}


def begin(api: Api, length: int, **headers: str) -> httpx2.Response:
    name = base64.b64encode("läsionen.zip".encode()).decode()
    sent = {**TUS, "Upload-Length": str(length), "Upload-Metadata": f"a YQ==,filename {name}", **headers}
    return api.client.post("/v1/uploads", headers=sent)


def append(api: Api, url: str, offset: int, content: bytes, **headers: str) -> httpx2.Response:
    return api.client.patch(url, content=content, headers={**PART, "Upload-Offset": str(offset), **headers})


def digest_of(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    return write_zip(tmp_path / "a.zip", [("a.png", png(1)), ("b.png", png(2))]).read_bytes()


def test_parts_become_a_job(any_api: Api, archive: bytes) -> None:
    made = begin(any_api, len(archive))
    url = made.headers["location"]
    assert (made.status_code, made.headers["upload-offset"], made.headers["tus-resumable"]) == (201, "0", "1.0.0")
    half = len(archive) // 2
    first = append(any_api, url, 0, archive[:half], **{"Content-Digest": f"md5=:AA==:, {digest_of(archive[:half])}"})
    assert (first.status_code, first.headers["upload-offset"]) == (204, str(half))
    source = {"source": f"upload:{url.rpartition('/')[2]}"}
    assert "send the others first" in problem(any_api.client.post("/v1/jobs", json=source), 409, "conflict")["detail"]
    asked = any_api.client.head(url, headers=TUS)
    assert (asked.status_code, asked.headers["upload-offset"], asked.headers["upload-length"]) == (
        200,
        str(half),
        str(len(archive)),
    )
    assert asked.headers["cache-control"] == "no-store"
    assert append(any_api, url, half, archive[half:]).status_code == 204
    jobs = [any_api.client.post("/v1/jobs", json=source, headers={"Idempotency-Key": url}) for _ in range(2)]
    assert [job.status_code for job in jobs] == [202, 202], jobs[0].text
    assert (jobs[0].json()["id"], jobs[0].json()["name"]) == (jobs[1].json()["id"], "läsionen.zip")
    stored = [key for key in any_api.stored() if key.endswith("/archive")]
    assert len(stored) == 1  # the second one's copy was discarded
    reader = any_api.storage.open(stored[0])
    assert reader.read_at(0, reader.size) == archive
    reader.close()


def test_what_is_refused(api: Api, archive: bytes) -> None:
    assert api.client.options("/v1/uploads").headers["tus-extension"] == "creation,termination,expiration"
    assert begin(api, 5, **{"Tus-Resumable": "0.2.2"}).status_code == 412
    problem(begin(api, api.settings.api.max_upload_bytes + 1), 413, "too_large")
    problem(begin(api, 0), 400, "invalid_request")
    problem(begin(api, 5, **{"Upload-Length": "five"}), 400, "invalid_request")
    problem(begin(api, 5, **{"Upload-Metadata": "filename !"}), 400, "invalid_request")
    latin = [(b"Tus-Resumable", b"1.0.0"), (b"Upload-Length", b"5"), (b"Upload-Metadata", b"filename \xe9")]
    problem(api.client.post("/v1/uploads", headers=latin), 400, "invalid_request")
    url = begin(api, 10).headers["location"]
    refused = append(api, url, 0, b"x", **{"Content-Type": "text/plain"})
    problem(refused, 415, "unsupported_type")
    assert refused.headers["accept-patch"] == "application/offset+octet-stream"
    assert problem(append(api, url, 3, b"x"), 409, "conflict")["detail"] == "Upload-Offset: expected 0, got 3"
    problem(append(api, url, 0, b"x" * 11), 413, "too_large")
    damaged = append(api, url, 0, b"abcde", **{"Content-Digest": digest_of(b"abcdf")})
    assert "it was damaged on its way" in problem(damaged, 400, "invalid_request")["detail"]
    problem(append(api, url, 0, b"a", **{"Content-Digest": "sha-256=:AAAA:"}), 400, "invalid_request")
    assert api.client.head(url).headers["upload-offset"] == "0"
    assert not [key for key in api.stored() if url.rpartition("/")[2] in key]
    problem(api.client.post("/v1/jobs", json={"source": "upload:x"}), 400, "invalid_request")
    problem(api.client.post("/v1/jobs", json={"source": f"upload:{uuid.uuid4()}"}), 404, "not_found")


def test_the_digest_of_a_whole_upload(api: Api, archive: bytes) -> None:
    before = api.stored()
    damaged = api.client.post("/v1/jobs?name=a.zip", content=archive, headers={"Content-Digest": digest_of(b"another")})
    assert "it was damaged on its way" in problem(damaged, 400, "invalid_request")["detail"]
    assert api.stored() == before
    taken = api.client.post("/v1/jobs?name=a.zip", content=archive, headers={"Content-Digest": digest_of(archive)})
    assert taken.status_code == 202


def test_what_came_before_the_connection_broke_counts(api: Api) -> None:
    url = begin(api, 1000).headers["location"]
    port = api.settings.api.port
    head = f"PATCH {url.partition(str(port))[2]} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\nUpload-Offset: 0\r\n"

    def comes() -> bool:
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(f"{head}Content-Type: application/offset+octet-stream\r\n\r\n".encode() + b"x" * 400)
            time.sleep(0.5)  # a connection that ends at once is none for the server
        return api.client.head(url).headers["upload-offset"] == "400"

    wait_until(comes, timeout_s=20, what="the bytes that came")
    assert append(api, url, 400, b"y" * 600).headers["upload-offset"] == "1000"


def test_an_upload_is_ended_or_over(any_api: Api) -> None:
    ended, over = (begin(any_api, 10).headers["location"] for _ in range(2))
    append(any_api, ended, 0, b"abc")
    assert any_api.client.delete(ended, headers=TUS).status_code == 204
    for method in ("HEAD", "DELETE"):
        assert any_api.client.request(method, ended, headers=TUS).status_code == 404
    now = datetime.now(UTC)
    with transaction(any_api.engine) as session:
        session.execute(update(PartialUpload).values(expires_at=now))
    problem(append(any_api, over, 0, b"abc"), 404, "not_found")
    begin(any_api, 10)
    with transaction(any_api.engine) as session:
        assert remove_expired(session, datetime.now(UTC), 10) == 1
        assert session.get(PartialUpload, uuid.UUID(over.rpartition("/")[2])) is None


def test_uploads_that_are_over_take_no_place_of_new_ones(tmp_path: Path) -> None:
    keyed = ApiSettings(port=free_port(), watch_interval_s=0, require_keys=True)
    with running_api(make_settings(tmp_path, api=keyed)) as api:
        keys = Keys(api.engine)
        north = bearer(keys.make("north"))
        with transaction(api.engine) as session:
            session.execute(update(Tenant).where(Tenant.id == keys.tenant("north")).values(max_bytes=1000))
        for _ in range(MOST_OPEN + 1):  # of 600 bytes each: more in number and in size than there may be
            assert begin(api, 600, **north).status_code == 201
            problem(begin(api, 600, **north), 429, "quota_exceeded")
            with transaction(api.engine) as session:
                session.execute(update(PartialUpload).values(expires_at=datetime.now(UTC)))


def test_uploads_that_jobs_have_take_no_place_of_new_ones(any_api: Api) -> None:
    """Who submits many large archives within ten minutes is not stopped by those that are done."""
    for _ in range(MOST_OPEN):
        assert begin(any_api, 10).status_code == 201
    problem(begin(any_api, 10), 429, "quota_exceeded")
    with transaction(any_api.engine) as session:
        for upload_id in session.scalars(select(PartialUpload.id)).all():
            note_used(session, upload_id, datetime.now(UTC))
    assert begin(any_api, 10).status_code == 201


def test_a_part_is_refused_when_the_disk_has_filled_up_meanwhile(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    url = begin(api, 2000).headers["location"]
    assert append(api, url, 0, bytes(500)).status_code == 204
    usage = shutil.disk_usage("/")
    least = api.settings.storage.min_free_bytes
    monkeypatch.setattr("api.intake.diskspace.shutil.disk_usage", lambda _: usage._replace(free=least + 1499))
    refused = append(api, url, 500, bytes(100))
    problem(refused, 507, "disk_full")
    assert refused.headers["tus-resumable"] == "1.0.0"
    assert api.client.head(url).headers["upload-offset"] == "500"
    monkeypatch.setattr("api.intake.diskspace.shutil.disk_usage", lambda _: usage._replace(free=least + 1500))
    assert append(api, url, 500, bytes(1500)).headers["upload-offset"] == "2000"


def test_the_sweep_leaves_uploads_that_come(api: Api) -> None:
    coming, unknown = uuid.UUID(begin(api, 10).headers["location"].rpartition("/")[2]), uuid.uuid4()
    later = datetime.now(UTC) + timedelta(hours=12)
    for age in (0, 2):
        with transaction(api.engine) as session:
            marked = check_prefixes(session, [coming, unknown], [], later + timedelta(hours=age), 3600)
    assert marked == [f"uploads/{unknown}/"]


def test_uploads_are_their_tenants(tmp_path: Path, archive: bytes) -> None:
    settings: Any = make_settings(tmp_path)
    keyed = type(settings.api)(port=free_port(), watch_interval_s=0, require_keys=True)
    with running_api(make_settings(tmp_path, api=keyed)) as api:
        keys = Keys(api.engine)
        north, south = bearer(keys.make("north")), bearer(keys.make("south"))
        with transaction(api.engine) as session:
            session.execute(update(Tenant).where(Tenant.id == keys.tenant("north")).values(max_bytes=1000))
        url = begin(api, 600, **north).headers["location"]
        problem(begin(api, 600, **north), 429, "quota_exceeded")  # beside the one that is under way
        assert append(api, url, 0, b"x" * 600, **north).status_code == 204
        source = {"source": f"upload:{url.rpartition('/')[2]}"}
        problem(append(api, url, 600, b"", **south), 404, "not_found")
        problem(api.client.post("/v1/jobs", json=source, headers=south), 404, "not_found")
        assert api.client.head(url, headers=south).status_code == 404
        problem(api.client.delete(url, headers=south), 404, "not_found")
        assert api.client.post("/v1/jobs", json=source, headers=north).status_code == 202
        wait_until(lambda: bool(api.stored()), timeout_s=5, what="the stored upload")
