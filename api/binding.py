"""Where the server may listen. Without keys: where only this machine reaches it."""

from __future__ import annotations

import ipaddress

from core.settings import ApiSettings


class UnsafeBindingError(ValueError):
    """The server would be reachable from other machines, and nobody would have to say who they are."""


def check_binding(settings: ApiSettings) -> None:
    """Refuse to listen beyond loopback as long as there are no keys.

    Raises:
        UnsafeBindingError: the host is no loopback address, and the operator has not said that this is meant.
    """
    if is_loopback(settings.host) or settings.allow_unauthenticated:
        return
    raise UnsafeBindingError(
        f"DERMQ_API_HOST is {settings.host!r}: expected a loopback address (127.0.0.1, ::1, localhost): there are no keys yet, "
        "and everybody who reaches the server could read and delete all jobs. In a container on a private network set "
        "DERMQ_API_ALLOW_UNAUTHENTICATED=true"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on that host."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
