"""Which server a command talks to: the one it names, the stack on this machine, or one of its own for the duration."""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from cli.output.exit_codes import CliError, ExitCode

if TYPE_CHECKING:
    from cli.http.client import Client
    from cli.stack.folder import DataFolder
    from cli.stack.lock import Holder
    from cli.stack.stack import StackOptions

_STARTING_LIMIT_S = 180.0


@dataclass(frozen=True, slots=True)
class Target:
    """How the user says where the server is."""

    server: str | None
    api_key: str | None
    data_dir: Path | None


@dataclass(frozen=True, slots=True)
class Service:
    """A server to talk to."""

    client: Client
    is_own: bool = False  # it runs for this command only
    source_roots: tuple[Path, ...] = ()  # folders of this machine that it reads by itself
    how_to_reach: str = ""  # the options that lead back to it, if they were not left to their defaults

    def reads(self, path: Path) -> bool:
        """Whether the server can read a local path where it lies, so that nothing has to be sent."""
        return any(path.resolve().is_relative_to(root) for root in self.source_roots)


def connect(target: Target) -> Service:
    """A server that runs already.

    Raises:
        CliError: none is named and none runs on this machine.
    """
    found = _find_running(target)
    if found is None:
        raise CliError(
            f"no server: none was named, and no stack runs on {_folder_of(target)}",
            ExitCode.UNREACHABLE,
            "Start one with `dermq up`, or name one with --server URL (or DERMQ_SERVER).",
        )
    return found


def read_address(server: str) -> str:
    """The base URL of a server; http:// stands in front of what has no scheme, as curl does.

    Raises:
        CliError: it is no address of an HTTP server.
    """
    from urllib.parse import urlsplit

    url = server if "://" in server else f"http://{server}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        usable = False
    if not usable or any(each.isspace() for each in url):
        raise CliError(
            f"expected the address of a DermQ server, such as https://dermq.example or 127.0.0.1:8080, got {server!r}",
            ExitCode.USAGE,
            "Name it with --server URL (or DERMQ_SERVER).",
        )
    return url


@contextmanager
def open_service(target: Target, options: StackOptions) -> Iterator[Service]:
    """A server that runs already, or a one-machine stack for as long as the context lasts."""
    found = _find_running(target)
    if found is not None:
        with found.client:
            yield found
        return
    from cli.http.client import Client
    from cli.output.spinner import StackStatus
    from cli.stack.folder import DataFolder
    from cli.stack.stack import Stack

    folder = DataFolder.at(target.data_dir)
    with (
        StackStatus() as status,
        terminating_gently(),
        Stack(folder, options, note=status.note, progress=status.progress) as stack,
        Client(stack.url, target.api_key) as client,
    ):
        status.done(f"one-machine stack ready at {stack.url}, data in {folder.root}")
        yield Service(client, True, _read_roots(folder), _reach(target))


def _find_running(target: Target) -> Service | None:
    from cli.http.client import Client

    if target.server:
        named = read_address(target.server)
        return Service(Client(named, target.api_key), how_to_reach=f" --server {shlex.quote(target.server)}")
    from cli.stack.folder import DataFolder

    folder = DataFolder.at(target.data_dir)
    url = _await_url(folder)
    return Service(Client(url, target.api_key), False, _read_roots(folder), _reach(target)) if url else None


def _await_url(folder: DataFolder) -> str | None:
    """URL of the stack that runs on the folder; waits for one that is starting."""
    deadline = time.monotonic() + _STARTING_LIMIT_S
    holder: Holder | None
    while (holder := _find_holder(folder)) is not None:
        if holder.url:
            return holder.url
        if time.monotonic() > deadline:
            raise CliError(
                f"the stack of process {holder.pid} on {folder.root} is still not ready",
                ExitCode.UNREACHABLE,
                f"Look into {folder.log('api').parent}, or stop it with `kill {holder.pid}`.",
            )
        time.sleep(0.2)
    return None


def _find_holder(folder: DataFolder) -> Holder | None:
    from cli.stack.lock import find_holder

    with folder.faults_named("read"):
        return find_holder(folder.lock)


def _read_roots(folder: DataFolder) -> tuple[Path, ...]:
    from cli.stack.state import load_state

    with folder.faults_named("read"):
        state = load_state(folder.state)
    return tuple(Path(root) for root in state.source_roots) if state else ()


def _reach(target: Target) -> str:
    return f" --data-dir {shlex.quote(str(target.data_dir))}" if target.data_dir else ""


def _folder_of(target: Target) -> Path:
    from cli.stack.folder import DataFolder

    return DataFolder.at(target.data_dir).root


@contextmanager
def terminating_gently() -> Iterator[None]:
    """SIGTERM and SIGHUP (the terminal was closed) end the command as Ctrl-C does: what it started is stopped in order.

    A signal that is ignored stays so: `nohup dermq up &` outlives its terminal.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
