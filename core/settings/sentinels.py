"""The address of a Redis that Sentinel keeps: sentinel://user:password@host:port,host:port/db?master=name."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

_PORT = 26379


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Where the sentinels listen, and what they are asked for. User and password are those of Redis itself."""

    hosts: tuple[tuple[str, int], ...]
    master: str
    database: int
    user: str
    password: str

    @property
    def celery_url(self) -> str:
        """As Celery has it: an address for each, between semicolons."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.password else ""
        return ";".join(f"sentinel://{login}{host}:{port}/{self.database}" for host, port in self.hosts)


def read_sentinels(url: str) -> Sentinels:
    """Parse the address.

    Raises:
        ValueError: no host, no number where one is needed, or no name of a master.
    """
    parts = urlsplit(url)
    login, _, places = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    master = parse_qs(parts.query).get("master", [""])[0]
    number = parts.path.strip("/") or "0"
    if not places or not master or not number.isdecimal():
        raise ValueError("expected sentinel://host:26379,host:26379/0?master=name as DERMQ_BROKER_URL")
    hosts = tuple(_place(each) for each in places.split(","))
    return Sentinels(hosts, master, int(number), unquote(user), unquote(password))


def _place(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):  # a name alone, or an IPv6 address alone
        return text, _PORT
    if not port.isdecimal():
        raise ValueError(f"expected host:port of a sentinel, got {text!r}")
    return host, int(port)
