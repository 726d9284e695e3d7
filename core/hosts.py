"""Host names, and this machine's own address."""

from __future__ import annotations

import errno
import ipaddress
import socket

LOOPBACKS = ("127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on that host."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def find_loopback() -> str:
    """The address at which this machine's own parts reach each other: 127.0.0.1, or ::1 where there is IPv6 only.

    Raises:
        OSError: EADDRNOTAVAIL: the machine has neither.
    """
    for host in LOOPBACKS:
        if has_address(host):
            return host
    raise OSError(errno.EADDRNOTAVAIL, "this machine has neither 127.0.0.1 nor ::1")


def has_address(host: str) -> bool:
    """Whether a server could listen on an IP address here."""
    try:
        with socket.socket(family_of(host)) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def free_port(host: str) -> int:
    """A TCP port of an address of this machine that nobody listens on at the moment.

    Raises:
        OSError: the machine lacks the address.
    """
    with socket.socket(family_of(host)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def family_of(host: str) -> socket.AddressFamily:
    """The family of an address; that of IPv4 for a name."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def join_host(host: str, port: int) -> str:
    """`host:port` as it stands in an address, an IPv6 host in brackets (RFC 3986, 3.2.2)."""
    bare = host.strip("[]")
    return f"[{bare}]:{port}" if ":" in bare else f"{host}:{port}"
