"""Which files of a watched folder are complete and were not submitted yet, and what is done with them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import typer

from cli.http.submission import Source, submit_source
from cli.output.exit_codes import CliError, ExitCode
from cli.output.terminal import open_err, print_json
from core.archives.skipping import is_litter
from dermq.bodies import walk
from dermq.errors import ProblemError

if TYPE_CHECKING:
    from types import FrameType

    from cli.http.client import JobRequest
    from cli.service import Service

MEMORY = ".dermq-watched"
_PARTIAL = (".part", ".partial", ".crdownload", ".download", ".tmp", ".filepart")  # as browsers and copying programs name them
_FIRST_AGAIN_S, _AGAIN_S = 1.0, 30.0  # a server that is away is asked again, less and less often


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it was at one moment."""

    size: int
    changed_ns: int
    inode: int


class WatchedFolder:
    """The files of a folder, and which of them were submitted: a line each in a file of the folder itself.

    Args:
        root: the folder.
        settle_s: seconds for which a file must stay as it is.

    Raises:
        CliError: another process watches it, or it cannot be written.
    """

    def __init__(self, root: Path, *, settle_s: float) -> None:
        self.root = root.resolve()
        self.settle_s = settle_s
        self._memory = self.root / MEMORY
        self._since: dict[str, tuple[Seen, float]] = {}
        self._submitted: dict[str, Seen] = {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Watch alone, and know what earlier watches have submitted."""
        with self._lock() as file:
            file.seek(0)
            self._submitted = dict(_read_memory(file.read()))
            yield

    def _lock(self) -> IO[str]:
        import fcntl

        try:
            file = self._memory.open("a+")
        except OSError as error:
            text = f"{self._memory}, which remembers what was submitted, cannot be written: {error.strerror}"
            raise CliError(text, ExitCode.USAGE, "Let this account write into the folder.") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            text = f"another `dermq watch-folder` watches {self.root}"
            raise CliError(text, ExitCode.CONFLICT, "End that one first.") from error
        return file

    def settled(self, now: float) -> list[Path]:
        """Files that have not changed for long enough, and were not submitted as they are; by name.

        Args:
            now: seconds of a monotonic clock.
        """
        found: dict[str, tuple[Seen, float]] = {}
        ready = []
        for name, path in _candidates(self.root):
            seen = _look(path)
            if seen is None or seen.size == 0 or self._submitted.get(name) == seen:
                continue
            before = self._since.get(name)
            since = before[1] if before and before[0] == seen else now
            found[name] = (seen, since)
            if now - since >= self.settle_s:
                ready.append(path)
        self._since = found
        return ready

    @property
    def waits(self) -> bool:
        """Whether a file is there that has not settled yet."""
        return bool(self._since)

    def remember(self, path: Path, job_id: str) -> None:
        """A file was submitted as it was when it had settled. It is on the disk when this returns."""
        name = path.relative_to(self.root).as_posix()
        seen, _ = self._since.pop(name)
        self._submitted[name] = seen
        line = {"name": name, "job": job_id, "size": seen.size, "changed_ns": seen.changed_ns, "inode": seen.inode}
        with self._memory.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _candidates(root: Path) -> Iterator[tuple[str, Path]]:
    for name, path in walk(root):
        if (
            not is_litter(name)
            and not path.name.startswith(".")
            and not name.lower().endswith(_PARTIAL)
            and not path.is_symlink()
        ):
            yield name, path


def _look(path: Path) -> Seen | None:
    try:
        status = path.stat()
    except OSError:  # it went away meanwhile
        return None
    return Seen(status.st_size, status.st_mtime_ns, status.st_ino)


def _read_memory(text: str) -> Iterator[tuple[str, Seen]]:
    for line in text.splitlines():
        try:
            known = json.loads(line)
            yield str(known["name"]), Seen(int(known["size"]), int(known["changed_ns"]), int(known["inode"]))
        except (ValueError, KeyError, TypeError):  # cut off in a crash: that file is submitted again, as the same job
            continue


def watch(watched: WatchedFolder, service: Service, request: JobRequest, *, once: bool, as_json: bool) -> None:
    """Submit what has settled, then wait for changes; for ever, or with `once` until nothing waits.

    The idempotency key is made of the file's bytes: a crash between the submission and the note of it makes no second job.
    """
    with watched.held(), _kept_interrupt() as raise_interrupt:
        changes, pause_s = _changes(watched), 0.0
        while True:
            for path in watched.settled(time.monotonic()):
                raise_interrupt()
                if not _submit(watched, path, service, request, as_json=as_json, silent=pause_s > 0):
                    pause_s = min(_AGAIN_S, pause_s * 2 or _FIRST_AGAIN_S)
                    time.sleep(pause_s)
                    break
                pause_s = 0.0
            raise_interrupt()
            if once and not watched.waits:
                return
            next(changes)


@contextmanager
def _kept_interrupt() -> Iterator[Callable[[], None]]:
    """Ctrl-C raises KeyboardInterrupt, as ever, and is kept for later, too.

    Where it comes while Python frees an object (a destructor, the callback of a weak reference: each import has one), Python
    prints the KeyboardInterrupt and goes on. A command that has an end comes to it; a watch would go on for ever.

    Yields:
        What raises KeyboardInterrupt if one has come.
    """
    came = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.default_int_handler(number, frame)

    def raise_interrupt() -> None:
        if came:
            raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield raise_interrupt  # it is ignored, as in the background of a script: it stays so
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield raise_interrupt
    finally:
        signal.signal(signal.SIGINT, before)


def _submit(watched: WatchedFolder, path: Path, service: Service, request: JobRequest, *, as_json: bool, silent: bool) -> bool:
    """Whether the server has answered. That it has not is said unless `silent`: it was said before."""
    try:
        job = submit_source(service, Source(str(path)), request, once=True)
    except CliError as error:
        if error.code is ExitCode.UNREACHABLE:
            if not silent:
                open_err().print(f"{error}; {path.name} and what else comes waits for it", soft_wrap=True)
            return False
        if isinstance(error.__cause__, ProblemError) and error.__cause__.status in (401, 403):
            raise  # of the key, not of the file
        if not path.exists():  # it went away meanwhile
            return True
        open_err().print(f"{path.name}: {error}; it is left out until it changes", soft_wrap=True)
        watched.remember(path, "")
        return True
    watched.remember(path, job.id)
    _tell(path, job.raw, as_json=as_json)
    return True


def _tell(path: Path, raw: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(raw)
        return
    typer.echo(raw["id"])
    open_err().print(f"Submitted {path.name}", soft_wrap=True)


def _changes(watched: WatchedFolder) -> Iterator[None]:
    """Returns after each change in the folder, and at least as often as a file may have settled."""
    try:
        from watchfiles import watch as watch_files
    except ImportError as error:
        raise CliError(
            "dermq watch-folder needs the package 'watchfiles', which is not installed here",
            ExitCode.USAGE,
            "In a checkout `make setup`, else `uv tool install 'dermq[watch]'`.",
        ) from error
    pause_ms = max(50, int(watched.settle_s * 1000 / 2))
    for _ in watch_files(watched.root, rust_timeout=pause_ms, yield_on_timeout=True, raise_interrupt=True, step=50):
        yield
