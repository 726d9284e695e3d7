"""POST and PUT /v1/jobs: every way to hand in images, and every way it can go wrong."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import uuid
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from api.intake.uploads import PIECE_BYTES
from core.db.engine import open_engine, reading
from core.db.models import Job, Upload
from core.db.schema.migrate import upgrade
from core.settings import ApiSettings
from tests.integration.api.conftest import Api, make_settings, problem, running_api, soon
from tests.support.servers import accepts, free_port, running, wait_until


def small_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.jpg", b"not really")
    return stream.getvalue()


def upload_of(api: Api, job: dict[str, Any]) -> Upload:
    with reading(api.engine) as session:
        upload = session.scalar(select(Upload).join(Job).where(Job.id == job_id(job)))
    assert upload is not None
    return upload


def job_id(job: dict[str, Any]) -> Any:
    return uuid.UUID(job["id"])


def stored_bytes(api: Api, key: str) -> bytes:
    access = api.storage.open(key)
    try:
        return access.read_at(0, access.size)
    finally:
        access.close()


def test_raw_body(api: Api) -> None:
    data = os.urandom(3 * PIECE_BYTES + 17)
    response = api.client.post("/v1/jobs", params={"name": "lesions.zip", "priority": "high", "version": 4}, content=data)
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == job["links"]["self"] == f"{api.url}/v1/jobs/{job['id']}"
    assert int(response.headers["retry-after"]) >= 1
    assert (job["object"], job["name"], job["state"]) == ("job", "lesions.zip", "queued")
    assert job["requested"] == {"label": None, "version": 4}
    assert job["counts"] == {"total": None, "succeeded": 0, "failed": 0, "skipped": 0, "remaining": None}
    upload = upload_of(api, job)
    assert (upload.size, upload.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert upload.key == f"uploads/{upload.id}/archive"
    assert stored_bytes(api, upload.key) == data
    with reading(api.engine) as session:
        row = session.get_one(Job, job_id(job))
    assert row.source == {"kind": "upload", "key": upload.key, "filename": "lesions.zip"}
    assert (row.priority, row.requested_version, row.model) == (2, 4, "tiny")


def test_chunked_body_of_unknown_length(api: Api) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(50):
            yield b"x" * 30_011

    job = api.client.post("/v1/jobs", content=body()).json()
    assert upload_of(api, job).size == 50 * 30_011


@pytest.fixture
def curl() -> str:
    found = shutil.which("curl")
    if found is None:
        pytest.skip("curl is not installed (Debian: apt-get install curl)")
    return found


def test_curl_upload(api: Api, curl: str, tmp_path: Path) -> None:
    """`curl -T` with a trailing slash sends PUT /v1/jobs/<file name>, with Expect: 100-continue."""
    path = tmp_path / "clinic läsionen.zip"
    path.write_bytes(os.urandom(2_000_000))
    done = subprocess.run(
        [curl, "-sS", "-w", "\n%{http_code}", "-T", path, f"{api.url}/v1/jobs/"], capture_output=True, check=True
    )
    body, _, status = done.stdout.decode().rpartition("\n")
    assert status == "202", body
    job = json.loads(body)
    assert job["name"] == "clinic läsionen.zip"
    assert stored_bytes(api, upload_of(api, job).key) == path.read_bytes()


@pytest.mark.parametrize("options", [["-X", "POST", "-T"], ["--data-binary"], ["-T"]])
def test_curl_ways_on_the_collection(api: Api, curl: str, tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(small_zip())
    source = f"@{path}" if options == ["--data-binary"] else str(path)
    done = subprocess.run(
        [curl, "-sS", "-o", "/dev/null", "-w", "%{http_code}", *options, source, f"{api.url}/v1/jobs"],
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"202"


def test_multipart_form(api: Api) -> None:
    data = os.urandom(2 * PIECE_BYTES + 5)
    fields = {"model": "other", "label": "canary", "priority": "low", "error_budget": "0.25"}
    response = api.client.post("/v1/jobs", files={"archive": ("C:\\pics\\a b.zip", data)}, data=fields)
    assert response.status_code == 202, response.text
    job = response.json()
    assert (job["name"], job["model"], job["requested"]["label"]) == ("a b.zip", "other", "canary")
    assert stored_bytes(api, upload_of(api, job).key) == data
    with reading(api.engine) as session:
        row = session.get_one(Job, job_id(job))
    assert (row.priority, row.error_budget) == (0, 0.25)


def test_name_from_content_disposition(api: Api) -> None:
    headers = {"Content-Disposition": "attachment; filename*=UTF-8''l%C3%A4sion%0a.zip"}
    assert api.client.post("/v1/jobs", content=b"x", headers=headers).json()["name"] == "läsion.zip"


def test_server_path(api: Api) -> None:
    root = api.settings.api.source_roots[0]
    (root / "pictures").mkdir(exist_ok=True)
    job = api.client.post("/v1/jobs", json={"source": str(root / "pictures" / ".." / "pictures"), "label": "stable"}).json()
    assert (job["name"], job["requested"]["label"]) == ("pictures", "stable")
    with reading(api.engine) as session:
        assert session.get_one(Job, job_id(job)).source == {"kind": "path", "path": str(root / "pictures")}


def test_s3_source(api: Api) -> None:
    problem(api.client.post("/v1/jobs", json={"source": "s3://clinic/2025/november/"}), 403, "forbidden_source")
    job = api.client.post("/v1/jobs", json={"source": "s3://clinic/2026/november/"}).json()
    assert job["name"] == "november"
    with reading(api.engine) as session:
        assert session.get_one(Job, job_id(job)).source == {"kind": "s3", "uri": "s3://clinic/2026/november/"}


def test_s3_sources_are_off_unless_switched_on(tmp_path: Path) -> None:
    """Else anybody could make the server use its own cloud credentials, and ask the cloud for some."""
    with running_api(make_settings(tmp_path)) as api:
        body = problem(api.client.post("/v1/jobs", json={"source": "s3://clinic/2026/"}), 403, "forbidden_source")
        assert "DERMQ_API_ALLOW_S3_SOURCES" in body["detail"]
        assert api.client.get("/v1/jobs").json()["data"] == []


def test_forbidden_sources(api: Api, tmp_path: Path) -> None:
    root = api.settings.api.source_roots[0]
    link = root / "link"
    if not link.is_symlink():
        link.symlink_to(tmp_path)
    for source in ("/etc", str(root / ".."), str(link), str(root) + "-sibling", "https://example.org/a.zip", "file:///etc"):
        body = problem(api.client.post("/v1/jobs", json={"source": source}), 403, "forbidden_source")
        assert "bytes" in body["detail"]
    assert (
        "DERMQ_API_SOURCE_ROOTS"
        in problem(api.client.post("/v1/jobs", json={"source": "/etc"}), 403, "forbidden_source")["detail"]
    )


@pytest.mark.parametrize("source", ["relative/path", "s3://", "s3:///x"])
def test_sources_that_are_none(api: Api, source: str) -> None:
    problem(api.client.post("/v1/jobs", json={"source": source}), 400, "invalid_request")


def test_missing_server_path(api: Api) -> None:
    gone = api.settings.api.source_roots[0] / "gone"
    assert str(gone) in problem(api.client.post("/v1/jobs", json={"source": str(gone)}), 400, "invalid_request")["detail"]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"priority": "urgent"}, "priority"),
        ({"version": "0"}, "version"),
        ({"version": str(2**63)}, "version"),
        ({"error_budget": "nan"}, "error_budget"),
        ({"error_budget": "1.5"}, "error_budget"),
        ({"label": "a", "version": "1"}, "label"),
        ({"modle": "typo"}, "modle"),
        ({"model": "nul\0"}, "model"),
    ],
)
def test_invalid_parameters(api: Api, parameters: dict[str, str], field: str) -> None:
    before = api.stored()
    body = problem(api.client.post("/v1/jobs", params=parameters, content=b"x"), 422, "invalid_parameters")
    assert field in body["detail"]
    form = api.client.post("/v1/jobs", data=parameters, files={"archive": ("a.zip", b"x")})
    assert form.status_code in (400, 422)
    assert field in form.json()["detail"]
    assert api.client.post("/v1/jobs", json={"source": "s3://a/b", **parameters}).status_code == 422
    assert api.stored() == before


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"source": 3}', b'{"source": "s3://a/\\ud800"}', b"\xff", b"[" * 50_000])
def test_invalid_json(api: Api, body: bytes) -> None:
    response = api.client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"


def test_large_json_is_refused(api: Api) -> None:
    response = api.client.post("/v1/jobs", content=b" " * 100_000, headers={"Content-Type": "application/json"})
    problem(response, 413, "too_large")


BOUNDARY = b"--xx\r\n"
FILE = b'Content-Disposition: form-data; name="archive"; filename="a.zip"\r\n\r\nbytes\r\n'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing like a form",
        BOUNDARY + FILE,  # never ends
        BOUNDARY + FILE[:-2],
        BOUNDARY + FILE + BOUNDARY + FILE + b"--xx--\r\n",  # two files
        BOUNDARY + FILE.replace(b"archive", b"unknown") + b"--xx--\r\n",
        BOUNDARY + b'Content-Disposition: form-data; name="model"\r\n\r\ntiny\r\n--xx--\r\n',  # no file
        BOUNDARY
        + b'Content-Disposition: form-data; name="model"\r\n\r\n'
        + b"m" * 9000
        + b"\r\n"
        + BOUNDARY
        + FILE
        + b"--xx--\r\n",
        BOUNDARY + b'Content-Disposition: form-data; name="model"\r\n\r\n\xff\xfe\r\n' + BOUNDARY + FILE + b"--xx--\r\n",
        BOUNDARY + b"X-Endless: " + b"h" * 3_000_000,
        BOUNDARY + FILE.replace(b"bytes", b"") + b"--xx--\r\n",  # an empty file
    ],
)
def test_broken_forms_leave_nothing(api: Api, body: bytes) -> None:
    before = api.stored()
    response = api.client.post("/v1/jobs", content=body, headers={"Content-Type": "multipart/form-data; boundary=xx"})
    problem(response, 400, "invalid_request")
    assert api.stored() == before
    assert not unfinished(api)


def test_form_without_boundary(api: Api) -> None:
    response = api.client.post("/v1/jobs", content=b"x", headers={"Content-Type": "multipart/form-data"})
    problem(response, 400, "invalid_request")


def test_empty_body(api: Api) -> None:
    before = api.stored()
    problem(api.client.post("/v1/jobs"), 400, "invalid_request")
    assert api.stored() == before


def unfinished(api: Api) -> list[Path]:
    return list((api.settings.data.data_dir / "objects" / ".incoming").glob("*"))


def test_announced_size_over_the_limit_is_refused_unread(api: Api) -> None:
    """With Expect: 100-continue not a byte is sent."""
    connection = http.client.HTTPConnection("127.0.0.1", api.settings.api.port, timeout=10)
    connection.putrequest("PUT", "/v1/jobs/big.zip")
    connection.putheader("Content-Length", str(8_000_001))
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert b"8000000" in response.read()
    connection.close()


def test_size_over_the_limit_while_streaming(api: Api) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(9_000):
            yield b"x" * 10_000  # 90 MB
            sent += 10_000

    before = api.stored()
    response = api.client.post("/v1/jobs", content=body())
    problem(response, 413, "too_large")
    assert api.stored() == before
    assert not unfinished(api)


def test_form_over_the_limit(api: Api) -> None:
    before = api.stored()
    problem(api.client.post("/v1/jobs", files={"archive": ("a.zip", b"x" * 8_000_001)}), 413, "too_large")
    assert api.stored() == before
    assert not unfinished(api)


def test_disconnect_leaves_nothing(api: Api) -> None:
    before = api.stored()
    with socket.create_connection(("127.0.0.1", api.settings.api.port)) as connection:
        connection.sendall(
            b"PUT /v1/jobs/a.zip HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 2_500_000
        )
        soon(lambda: len(unfinished(api)) == 1, "the upload under way")
    soon(lambda: not unfinished(api), "the partial upload's removal")
    assert api.stored() == before


def test_memory_is_flat_under_a_large_upload(tmp_path: Path) -> None:
    """A child process of its own, so that its peak is known: it grows by a small part of what goes through it."""
    settings = make_settings(tmp_path)
    env = {
        "DERMQ_DATA_DIR": str(tmp_path),
        "DERMQ_API_PORT": str(settings.api.port),
        "DERMQ_BROKER_URL": settings.broker.url.get_secret_value(),
    }
    engine = open_engine(settings.database_url, settings.database)
    upgrade(engine)
    engine.dispose()
    with running([sys.executable, "-m", "api"], log=tmp_path / "api.log", env=env) as process:
        wait_until(lambda: accepts(settings.api.port), timeout_s=30, what="the API")

        def peak_kb() -> int:
            status = Path(f"/proc/{process.pid}/status").read_text()
            return int(status.partition("VmHWM:")[2].split()[0])

        def send(pieces: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", settings.api.port, timeout=60)
            connection.request(
                "PUT",
                "/v1/jobs/a.zip",
                body=(bytes(1_000_000) for _ in range(pieces)),
                encode_chunked=True,
                headers={"Transfer-Encoding": "chunked"},
            )
            assert connection.getresponse().status == 202
            connection.close()

        send(3)
        before = peak_kb()
        send(150)
        sent_kb = 150 * 1_000_000 // 1024
        assert peak_kb() - before < sent_kb / 4
        process.terminate()
        process.wait(20)
    assert '"event": "closed"' in (tmp_path / "api.log").read_text()  # SIGTERM ends it in order


def test_stalled_upload_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.intake.uploads.STALL_S", 0.3)
    with running_api(make_settings(tmp_path, api=ApiSettings(port=free_port()))) as api:
        with socket.create_connection(("127.0.0.1", api.settings.api.port), timeout=10) as connection:
            connection.sendall(b"PUT /v1/jobs/a.zip HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nstart")
            assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
        assert not unfinished(api)


def test_uploads_side_by_side_do_not_mix(api: Api) -> None:
    bodies = [bytes([number]) * (2_000_000 + number) for number in range(6)]
    barrier = threading.Barrier(6)

    def send(body: bytes) -> dict[str, Any]:
        barrier.wait()
        job: dict[str, Any] = api.client.post("/v1/jobs", content=body).json()
        return job

    with ThreadPoolExecutor(6) as pool:
        jobs = list(pool.map(send, bodies))
    for job, body in zip(jobs, bodies, strict=True):
        assert stored_bytes(api, upload_of(api, job).key) == body
