"""Connections on which no request comes, or only a part of one, end by themselves; uploads that pause are no such thing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from api import heads
from tests.integration.api.conftest import Api, make_settings, running_api

HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture
def api(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setattr(heads, "HEAD_S", 0.5)
    with running_api(make_settings(tmp_path_factory.mktemp("heads"))) as running:
        yield running


def connect(api: Api) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", api.settings.api.port), 20)
    sock.settimeout(20)
    return sock


def send_slowly(sock: socket.socket, data: bytes) -> None:
    for byte in data:
        sock.sendall(bytes([byte]))
        time.sleep(0.05)


def read_to_the_end(sock: socket.socket) -> bytes:
    found = b""
    while block := sock.recv(65_536):
        found += block
    return found


@pytest.mark.parametrize("begun", [b"", b"GET /hea", HEAD], ids=["nothing", "half a line", "half a head"])
def test_a_head_that_does_not_come_ends_the_connection(api: Api, begun: bytes) -> None:
    with connect(api) as sock:
        sock.sendall(begun)
        assert read_to_the_end(sock) == b""


def test_byte_by_byte_is_too_slow(api: Api) -> None:
    with connect(api) as sock, pytest.raises((BrokenPipeError, ConnectionResetError)):
        send_slowly(sock, HEAD * 20)


def test_a_second_head_has_the_same_limit_and_a_paused_body_has_not(api: Api) -> None:
    with connect(api) as sock:
        sock.sendall(HEAD + b"\r\n")
        assert sock.recv(65_536).startswith(b"HTTP/1.1 200")
        sock.sendall(HEAD)
        read_to_the_end(sock)
    with connect(api) as sock:
        sock.sendall(
            b"POST /v1/jobs?name=a.zip HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 22\r\nConnection: close\r\n\r\nPK"
        )
        time.sleep(1.2)
        sock.sendall(b"\x05\x06" + bytes(18))
        assert read_to_the_end(sock).split(b" ", 2)[1] in (b"202", b"503")
