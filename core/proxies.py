"""Proxies that the environment names (`http_proxy`, `https_proxy`, `all_proxy`): never for the addresses of this machine.

The parts of a DermQ on one machine reach each other at loopback addresses, which a proxy elsewhere cannot reach. The variables
are those of curl and most other programs; there is no standard for them.
"""

from __future__ import annotations

from collections.abc import MutableMapping

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def keep_loopback_direct(environment: MutableMapping[str, str]) -> None:
    """Add the loopback addresses to `no_proxy`, in both spellings, if any proxy is set. Call it before threads begin.

    The HTTP clients in use (httpx2, urllib, the one below obstore) all read the variable; some read one spelling only.
    """
    if not any(environment.get(spelling) for name in _PROXIES for spelling in (name, name.upper())):
        return
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    excepted = [host.strip() for host in given.split(",") if host.strip()]
    if "*" in excepted:  # no proxy for anything
        return
    excepted += [host for host in LOOPBACK if host not in excepted]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(excepted)
