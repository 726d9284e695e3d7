"""Proxies and certificates: real servers, none of them beyond loopback."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from dermq import Client, Retries, UnreachableError, errors
from dermq.connection import is_loopback
from tests.support.certificates import Authority
from tests.support.httpserver import QuietHandler, serving_http
from tests.unit.cli.laid_out import Answer, LaidOutServer

ELSEWHERE = "http://dermq.clinic.example"
DEAD = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:1", True),
        ("http://LOCALHOST.", True),
        ("http://a.localhost", True),
        ("http://127.9.9.9:1", True),
        ("http://[::1]:1", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example", False),
        ("nothing", False),
    ],
)
def test_addresses_of_this_machine(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxy", [DEAD, "socks5://127.0.0.1:9", "gopher://127.0.0.1:9"])
def test_this_machine_is_never_asked_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, server: LaidOutServer, name: str, proxy: str
) -> None:
    monkeypatch.setenv(name, proxy)
    server.lay("GET", "/v1/models", Answer({"data": []}))
    with Client(server.url) as client:
        assert client.models() == []


def test_a_server_elsewhere_is_asked_through_the_environments_proxy(
    monkeypatch: pytest.MonkeyPatch, server: LaidOutServer
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.lay("GET", "/v1/models", Answer({"data": []}))
    with Client(ELSEWHERE) as client:
        assert client.models() == []
    assert server.seen[0].headers["Host"] == "dermq.clinic.example"
    monkeypatch.setenv("no_proxy", "clinic.example")
    with Client(ELSEWHERE, retries=Retries(attempts=1)) as client, pytest.raises(UnreachableError):
        client.models()
    assert len(server.seen) == 1


def test_a_proxy_of_ones_own(server: LaidOutServer) -> None:
    server.lay("GET", "/v1/models", Answer({"data": []}))
    with Client(ELSEWHERE, proxy=server.url) as client:
        assert client.models() == []
    assert server.seen[0].headers["Host"] == "dermq.clinic.example"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_asks_for_a_password_is_named_at_once(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """Over http:// it answers for the server, over https:// it refuses CONNECT; neither is a server that is away."""
    asked: list[str | None] = []

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Proxy-Authorization"))
            self.send_response(407 if asked[-1] is None else 502, None if asked[-1] is None else "Bad Gateway")
            self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_CONNECT = do_GET

    with serving_http(Handler) as port:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{port}")
        with Client(f"{scheme}://dermq.clinic.example") as client, pytest.raises(errors.ProxyError) as caught:
            client.models()
        assert str(caught.value) == (
            "the proxy between here and the server asks for a user and a password: put them into its address, "
            "as in http://user:password@proxy:3128"
        )
        assert asked == [None]
        monkeypatch.setenv(f"{scheme}_proxy", f"http://clinic:secret@127.0.0.1:{port}")
        once = Retries(attempts=1)
        with (
            Client(f"{scheme}://dermq.clinic.example", retries=once) as client,
            pytest.raises(errors.DermqError) as caught_away,
        ):
            client.models()
        assert "502" in str(caught_away.value)
        assert "secret" not in str(caught_away.value)
        assert asked == [None, "Basic Y2xpbmljOnNlY3JldA=="]


def test_a_proxy_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://clinic:secret@127.0.0.1:9")
    with Client(ELSEWHERE, retries=Retries(attempts=1)) as client, pytest.raises(UnreachableError) as caught:
        client.models()
    expected = f"no DermQ server answers at {ELSEWHERE}: [Errno 111] Connection refused; the environment names the proxy "
    assert str(caught.value) == expected + "127.0.0.1:9 for it"
    monkeypatch.setenv("no_proxy", "clinic.example")
    with Client(ELSEWHERE, retries=Retries(attempts=1)) as client, pytest.raises(UnreachableError) as caught:
        client.models()
    assert "proxy" not in str(caught.value)


def test_a_proxy_of_ones_own_that_is_away_is_not_called_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://environment.example:3128")
    once = Retries(attempts=1)
    with (
        Client(ELSEWHERE, proxy="http://127.0.0.1:9", retries=once) as client,
        pytest.raises(UnreachableError, match=r"Connection refused$"),
    ):
        client.models()


def test_a_proxy_of_an_unknown_kind_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:9")
    with pytest.raises(errors.ProxyError, match="proxy that the environment names cannot be used: Unknown scheme"):
        Client(ELSEWHERE)


def test_socks_without_its_package_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    with pytest.raises(errors.ProxyError, match=r"pip install 'dermq-client\[socks\]'"):
        Client(ELSEWHERE)


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server with a certificate of a company's own authority, and the file of that authority."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            body = b'{"data": []}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    authority = Authority()
    signed = authority.sign("dermq.clinic.example")
    for name, text in (("ca.pem", authority.certificate), ("cert.pem", signed.certificate), ("key.pem", signed.key)):
        (tmp_path / name).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with serving_http(Handler, certificate=context) as port:
        yield f"https://localhost:{port}", tmp_path / "ca.pem"


def test_a_companys_certificates(monkeypatch: pytest.MonkeyPatch, secured: tuple[str, Path]) -> None:
    url, authority = secured
    once = Retries(attempts=1)
    with Client(url, retries=once) as client, pytest.raises(UnreachableError, match="certificate"):
        client.models()
    with Client(url, verify=str(authority)) as client:
        assert client.models() == []
    with Client(url, verify=False) as client:
        assert client.models() == []
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with Client(url) as client:
        assert client.models() == []
