"""How a server is reached: address, key, proxies, certificates, time limits."""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from dermq.apikey import read_key
from dermq.errors import ProxyError

DEFAULT_SERVER = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to send requests, and the options of httpx2 for it."""

    url: str
    options: dict[str, Any]
    direct: bool  # past every proxy that the environment names


def read_address(
    server: str | None, api_key: str | None, *, user_agent: str, proxy: str | None, timeout_s: float, verify: bool | str
) -> Address:
    """The options of an HTTP client for one server.

    Args:
        server: base URL; None is `DERMQ_SERVER`, else http://127.0.0.1:8080.
        api_key: sent as a bearer token; @FILE names a file that holds it. None is `DERMQ_API_KEY`, else the file that
            `DERMQ_API_KEY_FILE` names. Empty sends none.
        user_agent: what the server's logs call this program.
        proxy: URL of a proxy for this server. None takes the environment's (`http_proxy`, `https_proxy`, `all_proxy`,
            `no_proxy`), never for an address of this machine.
        timeout_s: for each read and write of a connection, seconds; 5 s to connect.
        verify: True trusts what the system trusts (and `SSL_CERT_FILE`); a path is a file of certificates to trust instead.
    """
    url = (server or os.environ.get("DERMQ_SERVER") or DEFAULT_SERVER).rstrip("/")
    key = read_key(os.environ.get("DERMQ_API_KEY") if api_key is None else api_key) if api_key != "" else None
    headers = {"User-Agent": user_agent, "Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    options: dict[str, Any] = {"base_url": url, "headers": headers}
    options["timeout"] = httpx2.Timeout(timeout_s, connect=5.0, pool=5.0)
    options["verify"] = ssl.create_default_context(cafile=verify) if isinstance(verify, str) else verify
    if proxy is not None:
        options["proxy"] = proxy
    return Address(url, options, proxy is None and is_loopback(url))


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own: localhost (RFC 6761), 127.0.0.0/8 or ::1."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
        return host == "localhost" or host.endswith(".localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, or no address at all
        return False


def locked_proxy() -> ProxyError:
    """A proxy that wants to know who asks."""
    return ProxyError(
        "the proxy between here and the server asks for a user and a password: put them into its address, "
        "as in http://user:password@proxy:3128"
    )


def is_locked_proxy(error: Exception) -> bool:
    """Whether a proxy refused to connect for want of a password; httpx2 has no more of its answer than this text."""
    return isinstance(error, httpx2.ProxyError) and str(error).startswith("407 ")


def environment_proxy(address: Address) -> str:
    """Host and port of the proxy that the environment names for a server; empty where there is none, or it is not asked."""
    parts = urlsplit(address.url)
    named = getproxies()
    proxy = urlsplit(named.get(parts.scheme) or named.get("all") or "")
    if not proxy.hostname or address.direct or "proxy" in address.options or proxy_bypass(parts.hostname or ""):
        return ""
    return proxy.netloc.rpartition("@")[2]


def unusable_proxy(error: Exception) -> ProxyError:
    """A proxy of a kind that httpx2 does not know, or whose package is absent."""
    more = "; for SOCKS: pip install 'dermq-client[socks]'" if isinstance(error, ImportError) else ""
    return ProxyError(f"the proxy that the environment names cannot be used: {error}{more}")
