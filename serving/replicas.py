"""Finds replicas that are added behind a name.

gRPC resolves a name when it connects, and again when a connection breaks: a replica that is added gets no request from a client
whose connections are well. So the name is looked up here, now and then.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

EVERY_S = 30.0  # as gRPC's own least time between two look-ups
_SCHEME = "dns:"

Resolve = Callable[[str, int], frozenset[str]]  # host, port → addresses; raises OSError


def resolve_all(host: str, port: int) -> frozenset[str]:
    """All addresses of a name.

    Raises:
        OSError: it has none, or nobody answers.
    """
    return frozenset(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def split_name(address: str) -> tuple[str, int] | None:
    """host and port of `dns:///host:port`; None for an address of another kind, or of a name server of its own."""
    if not address.startswith(_SCHEME):
        return None
    rest = address.removeprefix(_SCHEME).removeprefix("///")
    host, _, port = rest.rpartition(":")
    if "/" in rest or not host or not port.isdigit():
        return None
    return host.strip("[]"), int(port)


class ReplicaWatch:
    """Looks a name up at most every EVERY_S, on a short thread of its own, and calls back when it has gained addresses."""

    def __init__(
        self,
        name: tuple[str, int],
        on_more: Callable[[], None],
        *,
        resolve: Resolve = resolve_all,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is looked up before `look`.

        Args:
            name: host and port.
            on_more: called on that thread.
            resolve: looks up.
            monotonic: the clock, in seconds.
        """
        self._name = name
        self._on_more = on_more
        self._resolve = resolve
        self._monotonic = monotonic
        self._known: frozenset[str] | None = None
        self._due = monotonic()
        self._lock = threading.Lock()

    def look(self) -> None:
        """Begin a look-up, if one is due. Does not wait for it."""
        now = self._monotonic()
        with self._lock:
            if now < self._due:
                return
            self._due = now + EVERY_S
        threading.Thread(target=self.look_now, name="serving-replicas", daemon=True).start()

    def look_now(self) -> None:
        """Look up, and say so where there are more addresses than before. A name that is away changes nothing."""
        try:
            found = self._resolve(*self._name)
        except OSError:
            return
        known, self._known = self._known, found
        if known is not None and found - known:
            self._on_more()
