"""Which addresses a named URL may lead to."""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Any

import pytest

from core.egress.addresses import Target, check_target, check_url, find_target, is_public
from core.errors import InvalidRequestError

INSIDE = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),  # noqa: S104
    *("192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "fd00::1"),
    *("fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::a00:1"),
    *("2002:7f00:1::", "2002:a00:1::1", "2001:0:7f00:1::", "2001:db8::1", "::7f00:1", "64:ff9b:1::7f00:1"),
]


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::", "::ffff:8.8.8.8"])
def test_addresses_of_the_public_internet(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "[::ffff:7f00:1]"]
)
def test_every_way_to_write_loopback_is_refused(host: str) -> None:
    with pytest.raises(InvalidRequestError, match="not on the public internet"):
        find_target(f"https://{host}/x", [])


NO_ADDRESS = [
    *("", "hooks.example", "ftp://hooks.example/", "file:///etc/passwd", "https://", "https:///x", "https://a b/"),
    *("https://user:pass@hooks.example/", "https://hooks.example/#x", "https://hooks.example:99999/", "https://h\u00e4/"),
    *("https://hooks.example/\r\nX: y", "https://hooks.example\\@127.0.0.1/", "gopher://x/", "https://[::1", "https://x:0/"),
]


@pytest.mark.parametrize("url", NO_ADDRESS, ids=range(len(NO_ADDRESS)))
def test_what_is_no_address_of_a_host(url: str) -> None:
    with pytest.raises(InvalidRequestError):
        check_url(url)


def answer(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """A name server that answers so, for a name that no real one knows; returns the names that it was asked for."""
    asked: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_a_name_is_resolved_once_and_each_address_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, "93.184.216.34", "8.8.8.8")
    target = find_target("https://hooks.example:8443/a?b=c", [])
    assert (target.address, target.host, target.port, target.path) == ("93.184.216.34", "hooks.example", 8443, "/a?b=c")
    assert asked == ["hooks.example"]
    answer(monkeypatch, "93.184.216.34", "10.0.0.1")
    with pytest.raises(InvalidRequestError, match="not on the public internet") as refused:
        find_target("https://hooks.example/", [])
    assert "10.0.0.1" not in str(refused.value)


def test_networks_of_ones_own_are_named_and_alone_take_http(monkeypatch: pytest.MonkeyPatch) -> None:
    own = [ipaddress.ip_network("10.20.0.0/16")]
    answer(monkeypatch, "10.20.1.1")
    assert find_target("http://hooks.ward.example/", own).port == 80
    answer(monkeypatch, "::ffff:10.20.1.1")
    assert find_target("https://hooks.ward.example/", own).port == 443
    answer(monkeypatch, "10.21.1.1")
    with pytest.raises(InvalidRequestError, match="DERMQ_EGRESS_NETWORKS"):
        find_target("https://hooks.ward.example/", own)
    answer(monkeypatch, "8.8.8.8")
    with pytest.raises(InvalidRequestError, match="expected https://"):
        find_target("http://hooks.example/", own)


def test_a_name_that_cannot_be_looked_up_is_refused_where_it_is_kept_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(InvalidRequestError) as refused:
        check_target("https://hooks.example/a?signature=secret", [])
    assert str(refused.value) == (
        "the host of 'https://hooks.example/a' cannot be looked up: [Errno -3] Temporary failure in name resolution"
    )


def test_an_ipv6_network_of_ones_own() -> None:
    own = [ipaddress.ip_network("::1/128")]
    assert find_target("http://[::1]:8099/x?y=1", own) == Target("http", "::1", 8099, "/x?y=1", "::1")


def test_a_name_server_that_does_not_answer_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()

    def resolve(*_: Any, **__: Any) -> list[Any]:
        goes_on.wait(30)
        raise socket.gaierror("at last")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(TimeoutError, match=r"'hooks.example' was not resolved within 0.1 s"):
        find_target("https://hooks.example/", [], timeout_s=0.1)
    goes_on.set()


def test_a_name_that_is_unknown_is_an_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(OSError, match="Name or service not known"):
        find_target("https://hooks.example/", [])
