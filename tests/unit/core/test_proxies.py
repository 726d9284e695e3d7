"""Addresses of this machine are never asked for through a proxy."""

from __future__ import annotations

import urllib.request

import pytest

from core.proxies import keep_loopback_direct

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_loopback_is_excepted_in_both_spellings(name: str) -> None:
    environment = {name: PROXY}
    keep_loopback_direct(environment)
    assert environment["no_proxy"] == environment["NO_PROXY"] == "localhost,127.0.0.1,::1"


@pytest.mark.parametrize("spelling", ["no_proxy", "NO_PROXY"])
def test_what_was_excepted_stays_so(spelling: str) -> None:
    environment = {"http_proxy": PROXY, spelling: " .clinic.example, localhost"}
    keep_loopback_direct(environment)
    assert environment["no_proxy"] == environment["NO_PROXY"] == ".clinic.example,localhost,127.0.0.1,::1"


def test_a_star_excepts_all_already() -> None:
    environment = {"http_proxy": PROXY, "no_proxy": "*"}
    keep_loopback_direct(environment)
    assert environment == {"http_proxy": PROXY, "no_proxy": "*"}


def test_without_a_proxy_nothing_is_set() -> None:
    environment = {"http_proxy": ""}
    keep_loopback_direct(environment)
    assert environment == {"http_proxy": ""}


@pytest.mark.parametrize(
    ("host", "is_direct"), [("127.0.0.1:8080", True), ("localhost:8080", True), ("dermq.example:8080", False)]
)
def test_the_standard_library_follows(monkeypatch: pytest.MonkeyPatch, host: str, is_direct: bool) -> None:
    environment = {"http_proxy": PROXY}
    keep_loopback_direct(environment)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, environment[name])
    assert bool(urllib.request.proxy_bypass_environment(host)) is is_direct  # type: ignore[attr-defined]
