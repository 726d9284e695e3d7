"""A page for Prometheus in processes that serve nothing else: one thread, GET /metrics, nothing more.

Celery's parent forks while this thread lives. So no page is being made at the instant of a fork (a lock), and a child does not
keep the parent's socket (it would hold the port when the parent is gone).
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

from core.hosts import family_of, join_host
from core.settings import MetricsSettings
from core.telemetry.logs import get_logger
from core.telemetry.metrics import CONTENT_TYPE

_CLIENT_S = 5.0  # a client that sends or reads nothing for so long is left
_log = get_logger(__name__)


class MetricsServer:
    """Listens from the start on; answers until closed."""

    def __init__(self, host: str, port: int, render: Callable[[], bytes]) -> None:
        """Bind and start.

        Args:
            host: address to listen on.
            port: TCP port; 0 takes a free one.
            render: makes the page.

        Raises:
            OSError: the address cannot be listened on.
        """
        self._rendering = threading.Lock()
        self._server = _listener(host)((host, port), _handler(render, self._rendering))
        self.port: int = self._server.server_address[1]
        self._pid = os.getpid()
        os.register_at_fork(
            before=self._rendering.acquire, after_in_parent=self._rendering.release, after_in_child=self._forget_in_child
        )
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        if os.getpid() == self._pid:
            self._server.shutdown()
            self._server.server_close()

    def _forget_in_child(self) -> None:
        self._rendering.release()
        self._server.socket.close()


def serve_metrics(settings: MetricsSettings, render: Callable[[], bytes]) -> MetricsServer | None:
    """Serve the page if a port is set. A port that is taken costs the page, not the work: it is logged, an alert fires."""
    if not settings.port:
        return None
    try:
        server = MetricsServer(settings.host, settings.port, render)
    except OSError as error:
        _log.error(
            "metrics_not_served",
            address=join_host(settings.host, settings.port),
            error=str(error),
            advice="give each process on a machine a DERMQ_METRICS_PORT of its own",
        )
        return None
    _log.info("metrics_served", url=f"http://{join_host(settings.host, server.port)}/metrics")
    return server


class _Listener(HTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no event."""

    def server_bind(self) -> None:
        """As the base's base: the base asks the DNS for this host's full name, and may wait for it."""
        super(HTTPServer, self).server_bind()


class _Listener6(_Listener):
    address_family = socket.AF_INET6


def _listener(host: str) -> type[_Listener]:
    return _Listener6 if family_of(host) == socket.AF_INET6 else _Listener


def _handler(render: Callable[[], bytes], rendering: threading.Lock) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout: ClassVar[float] = _CLIENT_S
        server_version, sys_version = "dermq", ""

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404, "only /metrics is here")
                return
            with rendering:
                page = render()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Scrapes are not logged."""

    return Handler
