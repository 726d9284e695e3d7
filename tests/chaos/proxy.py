"""A TCP proxy between two parts that passes on, delays, stands still (half-open) or refuses."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from enum import StrEnum

from tests.support.servers import free_port

_DELAY_S = 0.15
_POLL_S = 0.05


class Flow(StrEnum):
    """What happens to bytes."""

    PASS = "pass"
    DELAY = "delay"  # each piece comes late
    STALL = "stall"  # connections stay open, nothing arrives
    DROP = "drop"  # connections are cut, new ones end at once


class Proxy:
    """Listens on a loopback port of its own and leads to another one."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self.flow = Flow.PASS
        self._target_port = target_port
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def set_flow(self, flow: Flow) -> None:
        """From now on; DROP cuts what is open."""
        self.flow = flow
        if flow is Flow.DROP:
            for each in list(self._open):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening, cut everything."""
        self.set_flow(Flow.DROP)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        while self.flow is Flow.STALL:
            time.sleep(_POLL_S)
        if self.flow is Flow.DROP:
            client.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self._target_port), timeout=5)
            server.settimeout(None)
        except OSError:
            client.close()
            return
        self._open |= {client, server}
        back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
        back.start()
        self._copy(client, server)
        back.join()
        for each in (client, server):
            self._open.discard(each)
            each.close()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if self.flow is Flow.DELAY:
                    time.sleep(_DELAY_S)
                while self.flow is Flow.STALL:
                    time.sleep(_POLL_S)
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
