"""The proxies of sites, for outgoing requests: tinyproxy (HTTP, CONNECT, passwords) and microsocks (SOCKS 5).

They look up names by a file of their own (libnss-wrapper). `ELSEWHERE` is loopback for them, and nothing for everybody else:
what comes to a server under that name has come through a proxy.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.servers import accepts, free_port, running, wait_until

ELSEWHERE = "dermq.clinic.example"
VARIABLES = tuple(
    spelling for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for spelling in (name, name.upper())
)
_TINYPROXY = """
Port {port}
Listen 127.0.0.1
LogLevel Connect
MaxClients 20
{more}
"""


@dataclass(frozen=True)
class OutboundProxy:
    """A proxy that runs.

    Attributes:
        port: of loopback.
        log: what it writes.
    """

    port: int
    log: Path

    @property
    def requests(self) -> list[str]:
        """Request lines that tinyproxy has got, without the version: `GET http://…`, `CONNECT host:port`."""
        return re.findall(r"Request \(file descriptor \d+\): (\S+ \S+) HTTP", self.log.read_text())

    @property
    def connections(self) -> list[str]:
        """`host:port` of all that microsocks has connected to."""
        return re.findall(r"connected to (\S+)", self.log.read_text())


def _program(name: str, package: str) -> str:
    """Skips the test where there is none."""
    found = shutil.which(name)
    if found is None or not _name_library():
        pytest.skip(f"{name} or libnss-wrapper is not installed (Debian: apt-get install {package} libnss-wrapper)")
    return found


def _name_library() -> str:
    return next((str(path) for path in Path("/usr/lib").glob("*/libnss_wrapper.so")), "")


def _names(folder: Path) -> dict[str, str]:
    """Variables of a process that knows `ELSEWHERE`."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 {ELSEWHERE}\n127.0.0.1 localhost\n")
    return {"LD_PRELOAD": _name_library(), "NSS_WRAPPER_HOSTS": str(hosts)}


@contextmanager
def running_tinyproxy(folder: Path, *, user: str = "", port: int | None = None) -> Iterator[OutboundProxy]:
    """tinyproxy on loopback.

    Args:
        folder: for its files; its log goes on if there is one.
        user: `name password`, which it then asks for.
        port: where; a free one if None.
    """
    program, port = _program("tinyproxy", "tinyproxy-bin"), port or free_port()
    config = folder / "tinyproxy.conf"
    config.write_text(_TINYPROXY.format(port=port, more=f"BasicAuth {user}" if user else ""))
    log = folder / "tinyproxy.log"
    with running([program, "-d", "-c", str(config)], log=log, env=_names(folder)):
        wait_until(lambda: accepts(port), timeout_s=20, what="tinyproxy")
        yield OutboundProxy(port, log)


@contextmanager
def running_microsocks(folder: Path) -> Iterator[OutboundProxy]:
    """microsocks on loopback."""
    program, port, log = _program("microsocks", "microsocks"), free_port(), folder / "microsocks.log"
    with running([program, "-i", "127.0.0.1", "-p", str(port)], log=log, env=_names(folder)):
        wait_until(lambda: accepts(port), timeout_s=20, what="microsocks")
        yield OutboundProxy(port, log)
