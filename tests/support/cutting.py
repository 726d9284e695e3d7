"""A network that breaks: a TCP proxy that closes connections after so many bytes, as a lost Wi-Fi or a proxy's limit does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress


class CuttingProxy:
    """Forwards connections to one server.

    Attributes:
        cuts: for the connections in turn, after how many bytes of the client each is closed; None: never. Others stay open.
        made: connections that were opened.
    """

    def __init__(self, port: int, cuts: Sequence[int | None]) -> None:
        self.cuts = list(cuts)
        self.made = 0
        self._target = port
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, name="cutting proxy")]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def close(self) -> None:
        for each in (self._server, *self._open):
            _end(each)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                limit = self.cuts[self.made] if self.made < len(self.cuts) else None
                self.made += 1
                self._open += [near, far]
                for pair in ((near, far, limit), (far, near, None)):
                    thread = threading.Thread(target=_pump, args=pair, name="cutting proxy's line")
                    self._threads.append(thread)
                    thread.start()


def _pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
    """Pass bytes on until the end, or until the limit; then both sides see a reset."""
    left = limit
    with suppress(OSError):
        while left is None or left > 0:
            data = source.recv(65536 if left is None else min(left, 65536))
            if not data:
                break
            sink.sendall(data)
            left = None if left is None else left - len(data)
    _end(source)
    _end(sink)


def _end(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    line.close()


@contextmanager
def cutting_proxy(port: int, cuts: Sequence[int | None]) -> Iterator[CuttingProxy]:
    """In front of a server of this machine."""
    proxy = CuttingProxy(port, cuts)
    try:
        yield proxy
    finally:
        proxy.close()
