"""Ports on the loopback interface, of IPv4, or of IPv6 where a machine has that only."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from cli.output.exit_codes import CliError, ExitCode
from core import hosts
from core.hosts import family_of, find_loopback

_BACKLOG = 2048  # uvicorn's


def own_host() -> str:
    """The loopback address that the stack listens on.

    Raises:
        CliError: there is none: the loopback device is down.
    """
    try:
        return find_loopback()
    except OSError as error:
        raise CliError(
            "this machine has neither the address 127.0.0.1 nor ::1, on which the stack listens",
            ExitCode.USAGE,
            "Give it one: ip link set lo up",
        ) from error


@contextmanager
def _address_named(host: str) -> Iterator[None]:
    """Raises CliError where the machine lacks the address."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        raise CliError(
            f"this machine has no address {host}, on which the stack listens",
            ExitCode.USAGE,
            "Name one that it has, or give it this one with `ip addr add`.",
        ) from error


def free_port(host: str) -> int:
    """A port that nobody listens on at the moment.

    Raises:
        CliError: the machine lacks the address.
    """
    with _address_named(host):
        return hosts.free_port(host)


def listen(port: int, host: str) -> socket.socket:
    """A socket that listens on the port, for a server that inherits it: from now on no other process can take the port.

    Args:
        port: the port; 0 takes a free one.
        host: the address.

    Raises:
        OSError: the port is taken.
        CliError: the machine lacks the address.
    """
    with _address_named(host):
        return socket.create_server((host, port), family=family_of(host), backlog=_BACKLOG)


def is_free(port: int, host: str) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(family_of(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT counts as free, as for a server
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
