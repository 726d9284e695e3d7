"""A site's proxies between both clients and the API, or between a worker and its bucket: real ones, as Debian has them.

The server's name is known to the proxies alone, so what arrives has come through one of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.settings import ApiSettings
from dermq import Client, Retries, UnreachableError, errors, parts
from dermq.bodies import file_payload
from tests.integration.api.conftest import Api, make_settings, running_api
from tests.support.certificates import Authority
from tests.support.nginx import running_nginx
from tests.support.outboundproxies import ELSEWHERE, VARIABLES, OutboundProxy, running_microsocks, running_tinyproxy
from tests.support.s3 import make_bucket, put_object, running_s3
from tests.support.servers import ROOT, free_port
from tests.support.stack import jpeg, write_zip

THIS_MACHINE = "0.0.0.0"  # noqa: S104 - no bind: Linux reaches loopback by it, and it is no loopback address by its number
ONCE = Retries(attempts=1)
DEAD = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """It knows itself by the name that the proxies know, and asks for no key."""
    known = ApiSettings(port=free_port(), watch_interval_s=0, allowed_hosts=(ELSEWHERE, THIS_MACHINE), require_keys=False)
    with running_api(make_settings(tmp_path_factory.mktemp("api"), api=known)) as running:
        yield running


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*VARIABLES, "SSL_CERT_FILE", "DERMQ_SERVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


@pytest.fixture
def tinyproxy(tmp_path: Path) -> Iterator[OutboundProxy]:
    with running_tinyproxy(tmp_path) as proxy:
        yield proxy


@pytest.fixture
def microsocks(tmp_path: Path) -> Iterator[OutboundProxy]:
    with running_microsocks(tmp_path) as proxy:
        yield proxy


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "lesions.zip", [("a.jpg", jpeg(9))])


def far(api: Api, scheme: str = "http", port: int | None = None) -> str:
    return f"{scheme}://{ELSEWHERE}:{port or api.settings.api.port}"


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`dermq` in a process of its own: variables are read as they come from a shell."""
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        env={**os.environ, **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY"])
def test_a_job_is_submitted_through_tinyproxy(
    api: Api, tinyproxy: OutboundProxy, archive: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"http://127.0.0.1:{tinyproxy.port}")
    with Client(far(api)) as client:
        job = client.submit(archive)
        assert next(client.jobs(name="lesions")).id == job.id
    assert [line.partition("?")[0] for line in tinyproxy.requests] == [f"POST {far(api)}/v1/jobs", f"GET {far(api)}/v1/jobs"]


def test_the_command_is_served_through_tinyproxy(api: Api, tinyproxy: OutboundProxy, archive: Path) -> None:
    named = f"http://127.0.0.1:{tinyproxy.port}"
    done = command("submit", str(archive), "--again", "--server", far(api), http_proxy=named)
    assert done.returncode == 0, done.stderr
    assert f"POST {far(api)}/v1/jobs" in [line.partition("?")[0] for line in tinyproxy.requests]
    assert api.client.get(f"/v1/jobs/{done.stdout.strip()}").json()["name"] == "lesions.zip"


@pytest.mark.parametrize("excepted", [ELSEWHERE, "*", ".clinic.example"])
def test_no_proxy_names_the_server(api: Api, tinyproxy: OutboundProxy, monkeypatch: pytest.MonkeyPatch, excepted: str) -> None:
    """Then the name is looked up here, where nobody knows it; the proxy hears of nothing."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{tinyproxy.port}")
    monkeypatch.setenv("no_proxy", excepted)
    with Client(far(api), retries=ONCE) as client, pytest.raises(UnreachableError):
        client.models()
    assert tinyproxy.requests == []


def test_no_proxy_names_a_network(api: Api, tinyproxy: OutboundProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://{THIS_MACHINE}:{api.settings.api.port}"
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{tinyproxy.port}")
    with Client(url) as client:
        assert list(client.jobs(name="nothing is named so")) == []
    assert [line.partition("?")[0] for line in tinyproxy.requests] == [f"GET {url}/v1/jobs"]
    monkeypatch.setenv("no_proxy", "10.0.0.0/8,0.0.0.0/8")
    with Client(url) as client:
        assert list(client.jobs(name="nothing is named so")) == []
    assert len(tinyproxy.requests) == 1


def test_connect_with_a_companys_authority(api: Api, tinyproxy: OutboundProxy, archive: Path, tmp_path: Path) -> None:
    """https:// goes through as it is: the proxy sees the name and no path; the certificate is checked against the authority."""
    authority, port = Authority(), free_port()
    signed = authority.sign(ELSEWHERE)
    for name, text in (("ca.pem", authority.certificate), ("crt", signed.certificate), ("key", signed.key)):
        (tmp_path / name).write_text(text)
    variables = {"https_proxy": f"http://127.0.0.1:{tinyproxy.port}", "SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    arguments = ("submit", str(archive), "--again", "--server", far(api, "https", port))
    with running_nginx(tmp_path, port, {"/v1": api.url}, tls=(tmp_path / "crt", tmp_path / "key")):
        done = command(*arguments, **variables)
        assert done.returncode == 0, done.stderr
        assert set(tinyproxy.requests) == {f"CONNECT {ELSEWHERE}:{port}"}
        refused = command(*arguments, https_proxy=variables["https_proxy"])
    assert refused.returncode != 0
    assert "certificate" in refused.stderr


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_with_a_password(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    with running_tinyproxy(tmp_path, user="clinic secret") as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{proxy.port}")
        with Client(far(api, scheme), retries=ONCE) as client, pytest.raises(errors.ProxyError, match="user and a password"):
            client.models()
        monkeypatch.setenv(f"{scheme}_proxy", f"http://clinic:secret@127.0.0.1:{proxy.port}")
        with Client(far(api, scheme), retries=ONCE) as client:
            if scheme == "http":
                assert list(client.jobs(name="nothing is named so")) == []
            else:  # the API behind speaks no TLS: the tunnel stands, and the handshake in it fails
                with pytest.raises(UnreachableError):
                    client.models()
        assert f'Established connection to host "{ELSEWHERE}"' in proxy.log.read_text()


def test_an_upload_outlives_a_proxy_that_is_started_again(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SMALLEST", 1000)
    monkeypatch.setattr(parts, "PART_BYTES", 100_000)
    large, port, seen = tmp_path / "large.bin", free_port(), []
    large.write_bytes(bytes(range(256)) * 1400)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    with ExitStack() as second, ExitStack() as first:
        first.enter_context(running_tinyproxy(tmp_path, port=port))

        def on_sent(sent: int, _: int) -> None:
            seen.append(sent)
            if len(seen) == 1:
                first.close()
                threading.Timer(0.5, lambda: second.enter_context(running_tinyproxy(tmp_path, port=port))).start()

        with Client(far(api)) as client:
            steps = parts.submitting(
                file_payload(large), {}, None, url=client.transport.url, retries=client.transport.retries, on_sent=on_sent
            )
            job = client.transport.run(steps).json()
    assert seen[0] == 100_000
    assert seen[-1] == large.stat().st_size
    assert job["name"] == "large.bin"


@pytest.mark.parametrize("kind", ["socks5", "socks5h"])
def test_a_job_is_submitted_through_socks(
    api: Api, microsocks: OutboundProxy, archive: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The proxy looks up the name."""
    monkeypatch.setenv("ALL_PROXY", f"{kind}://127.0.0.1:{microsocks.port}")
    with Client(far(api)) as client:
        assert client.submit(archive).name == "lesions.zip"
    assert set(microsocks.connections) == {f"{ELSEWHERE}:{api.settings.api.port}"}


def test_the_command_is_served_through_socks(api: Api, microsocks: OutboundProxy, archive: Path) -> None:
    named = f"socks5://127.0.0.1:{microsocks.port}"
    done = command("submit", str(archive), "--again", "--server", far(api), ALL_PROXY=named)
    assert done.returncode == 0, done.stderr
    assert set(microsocks.connections) == {f"{ELSEWHERE}:{api.settings.api.port}"}


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
def test_the_command_asks_this_machine_directly(api: Api, tinyproxy: OutboundProxy, variable: str) -> None:
    for proxy in (f"http://127.0.0.1:{tinyproxy.port}", DEAD):
        done = command("jobs", "--json", "--server", api.url, **{variable: proxy})
        assert done.returncode == 0, done.stderr
    assert tinyproxy.requests == []


_LIST = """
import os, sys
from pathlib import Path
from core.archives.base import ArchiveKind, ArchiveRef
from core.archives.open import open_archive
from core.environment import start_process
from core.storage.local import LocalStorage
settings = start_process()
ref = ArchiveRef(ArchiveKind.S3_PREFIX, "s3", sys.argv[1], "clinic")
archive = open_archive(ref, LocalStorage(Path("/nonexistent")), settings)
print([(each.name, len(archive.read(each))) for each in archive.members()])
archive.close()
"""


@pytest.mark.parametrize("host", [ELSEWHERE, "127.0.0.1"])
def test_a_bucket_is_read_through_the_proxy_unless_it_is_on_this_machine(
    tinyproxy: OutboundProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """As a worker reads it, whose process begins in the same way."""
    monkeypatch.setattr("moto.settings.S3_IGNORE_SUBDOMAIN_BUCKETNAME", True)  # else a host's first word is a bucket to moto
    with running_s3() as s3:
        make_bucket(s3, "clinic")
        put_object(s3, "clinic", "2026/a + b.jpg", jpeg(1))
        port = s3.s3_endpoint.rpartition(":")[2]
        environment = {
            **os.environ,
            "http_proxy": f"http://127.0.0.1:{tinyproxy.port}",
            "AWS_EC2_METADATA_DISABLED": "true",
            "DERMQ_DATA_DIR": str(tmp_path / "data"),
            "DERMQ_STORAGE_S3_ENDPOINT": f"http://{host}:{port}",
            "DERMQ_STORAGE_S3_ACCESS_KEY_ID": "testing",
            "DERMQ_STORAGE_S3_SECRET_ACCESS_KEY": "testing",
            "DERMQ_API_ALLOW_S3_SOURCES": '["s3://clinic"]',
        }
        done = subprocess.run(
            [sys.executable, "-c", _LIST, "s3://clinic/2026"],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.stdout == f"{[('a + b.jpg', len(jpeg(1)))]}\n", done.stderr
    through = [line for line in tinyproxy.requests if f"{ELSEWHERE}:{port}/clinic" in line]
    assert len(through) == len(tinyproxy.requests)
    assert bool(through) is (host == ELSEWHERE)
