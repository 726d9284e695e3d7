"""Servers on either loopback address. A machine may lack IPv6: then the test holds that it is told so."""

from __future__ import annotations

import socket
import urllib.request
from typing import Any, cast

import pytest

from core.hosts import LOOPBACKS, has_address, is_loopback, join_host
from core.settings import MetricsSettings
from core.telemetry.metricsserver import MetricsServer, serve_metrics
from serving.embedded.restserver import RestServer
from tests.support.servers import free_port


@pytest.mark.parametrize("host", LOOPBACKS)
def test_the_page_of_metrics_listens_there(host: str) -> None:
    if not has_address(host):
        with pytest.raises(OSError, match="address"):
            MetricsServer(host, 0, lambda: b"")
        return
    server = serve_metrics(MetricsSettings(host=host, port=free_port()), lambda: b"dermq_jobs 1\n")
    assert server is not None
    try:
        with urllib.request.urlopen(f"http://{join_host(host, server.port)}/metrics", timeout=10) as answer:
            assert answer.read() == b"dermq_jobs 1\n"
    finally:
        server.close()


@pytest.mark.parametrize("host", LOOPBACKS)
def test_servings_rest_listens_there(host: str) -> None:
    def open_server() -> RestServer:
        return RestServer(cast("Any", None), host, 0, threads=1)  # nobody asks it anything

    if not has_address(host):
        with pytest.raises(OSError, match="address"):
            open_server()
        return
    server = open_server()
    try:
        with socket.create_connection((host, server.port), 10):
            pass
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("[::1]", True), ("LOCALHOST", True), ("::", False)],
)
def test_hosts_of_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
