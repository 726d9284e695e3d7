"""Which addresses a named URL may lead to: the public internet, and what the operator allows besides.

A name is resolved once, each address that comes is checked, and the connection goes to one of these: a name that answers
otherwise the next time (DNS rebinding) leads nowhere.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from urllib.parse import urlsplit

from core.errors import InvalidRequestError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Found = tuple[object, object, object, str, tuple[str | int | bytes, ...]]  # of socket.getaddrinfo
RESOLVE_S = 5.0
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes.

    Attributes:
        scheme: http or https.
        host: as it is named, for the Host header and the certificate.
        port: TCP.
        path: with the query.
        address: the address that was checked.
    """

    scheme: str
    host: str
    port: int
    path: str
    address: str


def check_url(url: str) -> None:
    """Refuse what is no http:// or https:// address of a host, without asking anybody.

    Raises:
        InvalidRequestError: it is none, or has a user's name, a fragment or characters that no address has.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidRequestError(f"expected an address such as https://hooks.example/dermq: {error}") from error
    plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url and len(url) <= _LONGEST
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or not plain:
        raise InvalidRequestError(
            f"expected an address such as https://hooks.example/dermq, in ASCII, at most {_LONGEST} characters"
        )
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidRequestError("expected an address without a user's name, a password and a fragment")


def find_target(url: str, networks: Sequence[Network], *, timeout_s: float = RESOLVE_S) -> Target:
    """Resolve an address, once, and check all that it resolves to.

    Args:
        url: as `check_url` takes it.
        networks: what may be reached besides the public internet; http:// may go there only.
        timeout_s: how long its name may take.

    Raises:
        InvalidRequestError: it may not be reached; nothing is said of what its name resolves to.
        OSError: its name cannot be resolved now, or not in time (TimeoutError).
    """
    check_url(url)
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    found = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in _resolve(host, port, timeout_s)]
    allowed = [any(_plain(each) in network for network in networks) for each in found]
    if not found or not all(inside or is_public(each) for inside, each in zip(allowed, found, strict=True)):
        raise InvalidRequestError(
            f"the host {host!r} is not on the public internet, and DERMQ_EGRESS_NETWORKS does not name its network"
        )
    if parts.scheme == "http" and not all(allowed):
        raise InvalidRequestError("expected https://: http:// may only lead to the networks of DERMQ_EGRESS_NETWORKS")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path, str(found[0]))


def check_target(url: str, networks: Sequence[Network]) -> None:
    """Refuse an address that somebody names for later, unless it may be reached. Arguments as of `find_target`.

    Raises:
        InvalidRequestError: it may not be reached, or its name cannot be resolved now. Its query, which may be a secret, is not
            shown.
    """
    try:
        find_target(url, networks)
    except OSError as error:
        raise InvalidRequestError(f"the host of {url.partition('?')[0][:200]!r} cannot be looked up: {error}") from error


def is_public(address: Address) -> bool:
    """Whether an address is of the public internet, with what is packed into it (mapped, 6to4, Teredo, NAT64)."""
    inner = _packed(address)
    if any(not is_public(each) for each in inner):
        return False
    if inner and isinstance(_plain(address), ipaddress.IPv4Address):
        return True
    is_site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified or is_site_local)


def _resolve(host: str, port: int, timeout_s: float) -> Sequence[_Found]:
    """What a name resolves to. The system's resolver takes no time limit, so it runs in a thread.

    At the limit the thread is left alone. It ends when the resolver gives up, as a rule after some ten seconds.
    """
    answer: Future[Sequence[_Found]] = Future()

    def ask() -> None:
        try:
            answer.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.set_exception(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        return answer.result(timeout_s)
    except UnicodeError as error:
        raise InvalidRequestError("expected a host name that can be looked up") from error
    except TimeoutError as error:
        raise TimeoutError(f"the name {host!r} was not resolved within {timeout_s:g} s") from error


def _plain(address: Address) -> Address:
    """::ffff:10.0.0.1 is 10.0.0.1."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _packed(address: Address) -> list[Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or address in _LOCAL_NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in found if each is not None]
