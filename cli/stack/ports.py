"""Ports on the loopback interface."""

from __future__ import annotations

import socket

_BACKLOG = 2048  # uvicorn's


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def listen(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A socket that listens on the port, for a server that inherits it: from now on no other process can take the port.

    Args:
        port: the port; 0 takes a free one.
        host: the address.

    Raises:
        OSError: the port is taken.
    """
    return socket.create_server((host, port), backlog=_BACKLOG)


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT counts as free, as for a server
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
