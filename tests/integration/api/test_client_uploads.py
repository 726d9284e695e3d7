"""Large payloads of both clients and the command against the real API: what is lost on the way is sent again, and no more."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from api.intake.resumable import receive_part
from cli.http import client as command
from cli.http.requestbody import read_payload
from cli.output.exit_codes import CliError
from core.errors import StorageUnavailableError
from dermq import AsyncClient, Client, Retries, errors, parts
from dermq.bodies import Payload, bytes_payload, file_payload
from dermq.journal import Journal, Sent
from tests.integration.api.conftest import Api
from tests.support.cutting import cutting_proxy

SIZE, PART = 350_000, 100_000
ONCE = Retries(attempts=1)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(parts, "SMALLEST", 1000)
    monkeypatch.setattr(parts, "PART_BYTES", PART)
    monkeypatch.setattr(parts, "SMALLEST_PART", PART // 4)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(np.random.default_rng(1).bytes(SIZE))
    return path


@pytest.fixture
def parts_seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Offset and announced length of each part that the server began to receive."""
    seen: list[tuple[int, int]] = []

    async def receive_seen(request: Any, here: Any, upload: Any) -> Any:
        seen.append((upload.received, int(request.headers["content-length"])))
        return await receive_part(request, here, upload)

    monkeypatch.setattr("api.routes.uploads.receive_part", receive_seen)
    return seen


def stored_archive(api: Api) -> bytes:
    """The newest: names of uploads are in the order of time."""
    reader = api.storage.open(max(key for key in api.stored() if key.endswith("/archive")))
    try:
        return reader.read_at(0, reader.size)
    finally:
        reader.close()


def notes(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "home" / "dermq" / "uploads.json").read_text())


def by_client(url: str, path: Path, shown: list[int]) -> str:
    with Client(url) as client:
        steps = parts.submitting(
            file_payload(path), {}, None, url=url, retries=Retries(), on_sent=lambda sent, _: shown.append(sent)
        )
        client.transport.run(steps)
        return client.submit(path, idempotency_key="mine").name


def by_async_client(url: str, path: Path, shown: list[int]) -> str:
    async def main() -> str:
        async with AsyncClient(url) as client:
            steps = parts.submitting(
                file_payload(path), {}, None, url=url, retries=Retries(), on_sent=lambda sent, _: shown.append(sent)
            )
            await client.transport.run(steps)
            return (await client.submit(path, idempotency_key="mine")).name

    with ThreadPoolExecutor(1) as pool:  # a test of a page, earlier in this process, leaves its loop in the main thread
        return pool.submit(asyncio.run, main()).result()


def by_command(url: str, path: Path, shown: list[int]) -> str:
    with command.Client(url) as client:
        client.submit(read_payload(path), command.JobRequest(), on_sent=shown.append)
        return str(client.submit(read_payload(path), command.JobRequest(), key="mine")["name"])


@pytest.mark.parametrize("send", [by_client, by_async_client, by_command], ids=["client", "asyncio", "command"])
def test_a_cut_connection_costs_its_part_only(
    api: Api,
    large: Path,
    tmp_path: Path,
    parts_seen: list[tuple[int, int]],
    send: Callable[[str, Path, list[int]], str],
) -> None:
    """The first connection breaks in the second part, the next one in what is then sent: parts become smaller, then larger."""
    shown: list[int] = []
    with cutting_proxy(api.settings.api.port, [160_000, 10_000]) as proxy:
        assert send(proxy.url, large, shown) == "large.bin"
        assert proxy.made >= 3
    first = parts_seen[: len(shown) + 2]
    assert first[:2] == [(0, PART), (PART, PART)]  # the second is lost in the middle, and does not count
    assert first[-1][0] + first[-1][1] == SIZE
    assert min(length for _, length in first) == PART // 4
    assert shown[0] == PART
    assert shown == sorted(shown)
    assert shown[-1] == SIZE
    assert stored_archive(api) == large.read_bytes()
    assert notes(tmp_path) == {}


def test_the_same_file_with_the_same_key_is_the_same_job(api: Api, large: Path) -> None:
    """The second upload has another address; the server compares the bytes."""
    with Client(api.url) as client:
        assert client.submit(large, idempotency_key="twice").id == client.submit(large, idempotency_key="twice").id
        with pytest.raises(errors.ConflictError):
            client.submit(large.read_bytes()[1:], idempotency_key="twice")


def test_what_has_been_sent_is_kept_until_a_job_has_it(
    api: Api, large: Path, tmp_path: Path, parts_seen: list[tuple[int, int]]
) -> None:
    """A job that is refused at the end costs no second upload."""
    with Client(api.url) as client:
        client.submit(b"x" * 2000, idempotency_key="taken")
        with pytest.raises(errors.ConflictError):
            client.submit(large, idempotency_key="taken")
        sent = len(parts_seen)
        assert client.submit(large, idempotency_key="free").name == "large.bin"
    assert len(parts_seen) == sent
    assert stored_archive(api) == large.read_bytes()
    assert notes(tmp_path) == {}


@pytest.mark.parametrize("smallest", [1000, 2 * SIZE], ids=["in parts", "in one request"])
def test_a_name_with_odd_bytes_is_the_jobs_however_it_is_sent(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts_seen: list[tuple[int, int]], smallest: int
) -> None:
    monkeypatch.setattr(parts, "SMALLEST", smallest)
    path = tmp_path / os.fsdecode(b"l\xe4sion.bin")
    path.write_bytes(b"x" * 2000)
    with Client(api.url) as client:
        assert client.submit(path).name == "l\ufffdsion.bin"
    assert len(parts_seen) == (smallest == 1000)


@pytest.mark.parametrize("source", ["bytes", "parts", "job"])
def test_a_name_of_ones_own_with_odd_bytes_is_kept_whole(api: Api, large: Path, source: str) -> None:
    """A `\\xNN` in it would be cut by the server, as the folders of a Windows path are."""
    odd = os.fsdecode(b"ward\xe4 left\x00 \xf0\x9f\x98\x80")
    with Client(api.url) as client:
        first = client.submit(large if source == "parts" else b"x", name=odd)
        job = client.submit(f"job:{first.id}", name=odd) if source == "job" else first
        assert job.name == "ward\ufffd left \U0001f600"
        assert job.id in [each.id for each in client.jobs(name=odd)]


def test_bytes_go_in_parts_without_a_note(api: Api, large: Path, tmp_path: Path, parts_seen: list[tuple[int, int]]) -> None:
    with cutting_proxy(api.settings.api.port, [160_000]) as proxy, Client(proxy.url) as client:
        assert client.submit(large.read_bytes(), name="b.bin").name == "b.bin"
    assert len(parts_seen) > 4
    assert stored_archive(api) == large.read_bytes()
    assert not (tmp_path / "home").exists()


def interrupt_part(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Let the storage be away for the part of this number, from 1; the list gets the offset of each part that comes."""
    offsets: list[int] = []

    async def receive_some(request: Any, here: Any, upload: Any) -> Any:
        offsets.append(upload.received)
        if len(offsets) == number:
            raise StorageUnavailableError("the disk is away")
        return await receive_part(request, here, upload)

    monkeypatch.setattr("api.routes.uploads.receive_part", receive_some)
    return offsets


@pytest.mark.parametrize("kind", ["client", "command"])
def test_an_interrupted_program_goes_on_later(
    api: Api, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    offsets = interrupt_part(monkeypatch, 3)
    if kind == "client":
        with Client(api.url, retries=ONCE) as client:
            with pytest.raises(errors.UnavailableError, match="object storage does not answer"):
                client.submit(large)
            job = client.submit(large, name="named.bin").info.raw
    else:
        with command.Client(api.url, attempts=1) as told:
            with pytest.raises(CliError, match="object storage does not answer"):
                told.submit(read_payload(large), command.JobRequest())
            noted = (tmp_path / "home" / "dermq" / "uploads.json").read_text()
            assert "large.bin" not in noted  # no name of a file, no address
            assert str(api.settings.api.port) not in noted
            job = told.submit(read_payload(large), command.JobRequest(name="named.bin"))
    assert offsets == [0, 100_000, 200_000, 200_000, 300_000]
    assert job["name"] == "named.bin"
    assert stored_archive(api) == large.read_bytes()
    assert notes(tmp_path) == {}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven files in two folders, one of which has an odd name; together larger than three parts."""
    root = tmp_path / "ward"
    for number in range(7):
        path = root / ("left" if number % 2 else os.fsdecode(b"r\xefght")) / f"{number} l\u00e4sion.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(np.random.default_rng(number).bytes(50_000))
    return root


def submit_by_client(url: str, paths: list[Path], attempts: int = 1) -> str:
    with Client(url, retries=Retries(attempts)) as client:
        return client.submit(paths[0] if len(paths) == 1 else paths).name


def submit_by_async_client(url: str, paths: list[Path], attempts: int = 1) -> str:
    async def main() -> str:
        async with AsyncClient(url, retries=Retries(attempts)) as client:
            return (await client.submit(paths[0] if len(paths) == 1 else paths)).name

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, main()).result()


def submit_by_command(url: str, paths: list[Path], attempts: int = 1) -> str:
    with command.Client(url, attempts=attempts) as client:
        return str(client.submit(read_payload(*paths), command.JobRequest())["name"])


SUBMITTERS = {"client": submit_by_client, "asyncio": submit_by_async_client, "command": submit_by_command}


@pytest.fixture(params=SUBMITTERS)
def submit(request: pytest.FixtureRequest) -> Callable[..., str]:
    return SUBMITTERS[request.param]


@pytest.mark.parametrize("several", [False, True], ids=["a folder", "several"])
def test_a_folder_goes_on_where_it_was_and_is_the_same_as_in_one_request(
    api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch, submit: Callable[..., str], several: bool
) -> None:
    paths = sorted(folder.iterdir()) if several else [folder]
    monkeypatch.setattr(parts, "SMALLEST", 10**9)
    named = submit(api.url, paths)
    whole = stored_archive(api)
    monkeypatch.setattr(parts, "SMALLEST", 1000)
    offsets = interrupt_part(monkeypatch, 3)
    with pytest.raises((errors.UnavailableError, CliError), match="object storage does not answer"):
        submit(api.url, paths)
    assert submit(api.url, paths) == named
    assert offsets == [0, PART, 2 * PART, 2 * PART, 3 * PART]
    assert stored_archive(api) == whole
    assert json.loads((Path(os.environ["XDG_DATA_HOME"]) / "dermq" / "uploads.json").read_text()) == {}


def test_a_folder_survives_a_cut_connection(
    api: Api, folder: Path, parts_seen: list[tuple[int, int]], submit: Callable[..., str]
) -> None:
    with cutting_proxy(api.settings.api.port, [160_000, 10_000]) as proxy:
        assert submit(proxy.url, [folder], attempts=4) == "ward.zip"
    assert parts_seen[:2] == [(0, PART), (PART, PART)]
    assert sum(offset == PART for offset, _ in parts_seen) > 1
    assert stored_archive(api) == b"".join(read_payload(folder).open())


def test_a_folder_that_has_changed_since_is_sent_from_its_beginning(
    api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch, submit: Callable[..., str]
) -> None:
    offsets = interrupt_part(monkeypatch, 2)
    with pytest.raises((errors.UnavailableError, CliError), match="object storage does not answer"):
        submit(api.url, [folder])
    (folder / "left" / "new.jpg").write_bytes(b"new")
    submit(api.url, [folder])
    assert offsets == [0, PART, 0, PART, 2 * PART, 3 * PART]
    assert stored_archive(api) == b"".join(read_payload(folder).open())


@pytest.mark.parametrize("change", ["a file grows", "a file is added"])
def test_a_folder_that_changes_while_it_is_sent_is_no_job(
    api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The client sends what it has listed. The command lists again, in constant memory, and finds more at the end."""
    payload, before = read_payload(folder), len(api.client.get("/v1/jobs?limit=200").json()["data"])
    if change == "a file grows":
        next((folder / "left").iterdir()).write_bytes(b"x" * 90_000)
    else:
        (folder / "left" / "new.jpg").write_bytes(b"x" * 90_000)
    with pytest.raises(errors.UnreadableError, match="it was changed meanwhile"):
        run(api, payload)
    assert len(api.client.get("/v1/jobs?limit=200").json()["data"]) == before


def test_a_file_that_grows_meanwhile_is_no_job(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"a" * 250_000)
    payload = file_payload(path)
    path.write_bytes(b"a" * 350_000)
    with pytest.raises(errors.UnreadableError, match=r"a\.bin had 250000 bytes, and more at its end: it was changed meanwhile"):
        run(api, payload)


def run(api: Api, payload: Payload, journal: Journal | None = None) -> str | None:
    with Client(api.url, retries=ONCE) as client:
        return client.transport.run(parts.sending_parts(payload, url=api.url, retries=ONCE, journal=journal))


@pytest.mark.parametrize(
    ("content", "goes_on"), [(b"a", True), (b"b", False)], ids=["the same file", "another content under the same note"]
)
def test_a_note_holds_for_the_same_bytes_only(api: Api, tmp_path: Path, content: bytes, goes_on: bool) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content * 250_000)
    payload, journal = file_payload(path), Journal(tmp_path / "uploads.json")
    answer = api.client.post("/v1/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "250000"})
    begun = f"/v1/uploads/{answer.headers['location'].rpartition('/')[2]}"
    part = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    assert api.client.patch(begun, content=b"a" * 123_456, headers=part).status_code == 204
    sent = Sent(begun, 123_456, hashlib.sha256(b"a" * 123_456).hexdigest())
    journal.write(f"{api.url} {payload.size} {payload.identity}", sent)
    source = run(api, payload, journal)
    assert (source == f"upload:{begun.rpartition('/')[2]}") is goes_on
    assert api.client.head(begun).headers["upload-offset"] == ("250000" if goes_on else "123456")


def test_a_file_that_was_written_since_is_another(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    before = file_payload(path).identity
    assert file_payload(path).identity == before
    path.unlink()
    path.write_bytes(b"two")
    assert file_payload(path).identity != before


def test_an_upload_that_somebody_else_sends_to_is_left(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that this run has not sent do not count for it, and what it sent is not mixed with them."""

    async def behind(request: Any, here: Any, upload: Any) -> Any:
        monkeypatch.setattr("api.routes.uploads.receive_part", receive_part)
        address = f"/v1/uploads/{upload.id}"
        head = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
        async with httpx2.AsyncClient(base_url=api.url) as other:
            assert (await other.patch(address, content=b"x" * 7, headers=head)).status_code == 204
        return await receive_part(request, here, upload)

    monkeypatch.setattr("api.routes.uploads.receive_part", behind)
    with pytest.raises(errors.ConflictError):
        run(api, bytes_payload(b"a" * 2000, "a.bin"))


def test_a_file_that_shrinks_meanwhile_is_no_job(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"a" * 250_000)
    payload = file_payload(path)
    path.write_bytes(b"a" * 150_000)
    with pytest.raises(errors.UnreadableError, match=r"a\.bin had 250000 bytes, and 150000 at its end"):
        run(api, payload)
