"""A real HTTP server in a thread, for tests whose other side is one."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class QuietHandler(BaseHTTPRequestHandler):
    """Prints no line for each request: tests print what they need."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def serving_http(handler: type[BaseHTTPRequestHandler], *, certificate: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve on a free port of loopback, which is what comes.

    Args:
        handler: answers; a thread for each connection.
        certificate: of the server, which then speaks HTTPS.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if certificate is not None:
        server.socket = certificate.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
