"""Ports on the loopback interface."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from cli.output.exit_codes import CliError, ExitCode

_BACKLOG = 2048  # uvicorn's


@contextmanager
def _address_named(host: str) -> Iterator[None]:
    """Raises CliError where the machine lacks the address: it has IPv6 only, or its loopback device is down."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        raise CliError(
            f"this machine has no address {host}, on which the stack listens",
            ExitCode.USAGE,
            f"Give it one: ip link set lo up; ip addr add {host}/8 dev lo",
        ) from error


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on at the moment.

    Raises:
        CliError: the machine lacks the address.
    """
    with socket.socket() as probe:
        with _address_named(host):
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
        CliError: the machine lacks the address.
    """
    with _address_named(host):
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
