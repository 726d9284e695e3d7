"""honcho's Manager with three differences: output goes to log files, what crashes is started again, and all stop in order.

honcho runs each process under a forked helper of its own; here a thread waits for it instead, which saves their memory, and
makes each process a child of this one (see parent_death.py).
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from honcho.manager import Manager
from honcho.process import Process

from cli.stack.parts import Part
from cli.stack.processes import Identity, identify, send_signal

MAX_RESTARTS = 5
RESTART_WINDOW_S = 60.0
_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 15.0  # reached only while the disk is full
_NOT_STARTED = 127  # what a shell says of a command that it cannot run
_PARENT_DEATH = Path(__file__).with_name("parent_death.py")


class LoggedProcess(Process):  # type: ignore[misc]  # honcho has no types
    """One run of a part: its output goes to a file, and to the events as well if somebody watches."""

    def __init__(
        self, cmd: tuple[str, ...], *, log: Path, watched: bool, inherited: Sequence[int] = (), **options: Any
    ) -> None:
        super().__init__(cmd, **options)
        self._log = log
        self._inherited = inherited
        self._watched = watched

    def run(self, events: queue.Queue[Any] | None = None, ignore_signals: bool = False) -> None:
        """Start, report, wait, report. `ignore_signals` is honcho's; a thread has none to ignore."""
        del ignore_signals
        self._events = events
        code = _NOT_STARTED
        try:
            with self._open_log() as log:
                code = self._run_child(log)
        except OSError as error:
            self._send_message(f"cannot be started: {error}\n".encode())
        finally:
            self._send_message({"returncode": code}, type="stop")

    def _open_log(self) -> IO[bytes]:
        """Its log; where that cannot be opened, on a full disk for instance, a part without a log is better than no part."""
        try:
            return self._log.open("ab", buffering=0)
        except OSError:
            return Path(os.devnull).open("ab", buffering=0)

    def _run_child(self, log: IO[bytes]) -> int:
        child = subprocess.Popen(
            self.cmd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if self._watched else log,
            stderr=subprocess.STDOUT,
            env=self.env,
            cwd=self.cwd,
            pass_fds=self._inherited,
            start_new_session=True,  # the terminal's Ctrl-C reaches the supervisor only, which stops all in order
        )
        self._send_message({"pid": child.pid}, type="start")
        if child.stdout is not None:
            self._copy_lines(child.stdout, log)
        return child.wait()

    def _copy_lines(self, lines: IO[bytes], log: IO[bytes]) -> None:
        with lines:
            for line in lines:
                with suppress(OSError):  # a full disk: the line is shown, and not kept
                    log.write(line)
                self._send_message(line)


@dataclass(slots=True)
class _Running:
    """What is known of one part."""

    part: Part
    identity: Identity | None = None
    returncode: int | None = None  # of its last run, None while it runs
    wanted: bool = True
    started: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    deaths: deque[float] = field(default_factory=deque)
    restart_at: float | None = None


class Supervisor(Manager):  # type: ignore[misc]  # honcho has no types
    """Runs the parts of a stack and keeps them running.

    Args:
        env: environment of the parts.
        cwd: their working folder.
        log_path: the log of a part, by name.
        on_change: called after a process started or ended, with the identities of those that run.
        is_full: whether the disk has no room: a part that dies meanwhile is started again for as long as that lasts.
        say: tells the user of crashes and restarts.
        printer: honcho's printer, used where output is watched.
        watched: also print the parts' output.
    """

    def __init__(
        self,
        *,
        env: Mapping[str, str],
        cwd: Path,
        log_path: Callable[[str], Path],
        on_change: Callable[[dict[str, Identity]], None],
        say: Callable[[str], None],
        is_full: Callable[[], bool] = lambda: False,
        printer: Any = None,
        watched: bool = False,
    ) -> None:
        super().__init__(printer)
        self.events: queue.Queue[Any] = queue.Queue()  # honcho's is for processes
        self.failure: str | None = None  # the part that could not be kept running
        self.failed = threading.Event()
        self._env, self._cwd, self._log_path = dict(env), cwd, log_path
        self._on_change, self._say, self._is_full, self._watched = on_change, say, is_full, watched
        self._running: dict[str, _Running] = {}
        self._restarting = False
        self._spawning = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self.loop, name="supervisor", daemon=True)

    def begin(self) -> None:
        """Start handling events."""
        self._thread.start()

    def launch(self, part: Part) -> None:
        """Start one part."""
        self._running[part.name] = _Running(part)
        self._spawn(self._running[part.name])

    def keep_running(self) -> None:
        """From now on a part that dies is started again; until now its death is a failure at once."""
        self._restarting = True

    def loop(self) -> None:
        """Handle starts and ends until close(): honcho's loop, without its rule that one end ends all."""
        while not self._closing.is_set():
            with suppress(queue.Empty):
                self._handle(self.events.get(timeout=0.1))
            self._restart_due()

    def stop(self, name: str) -> str:
        """End one part: SIGTERM, and SIGKILL to all it started after its grace.

        Returns:
            How it went, in a word or two.
        """
        running = self._running.get(name)
        if running is None:
            return "not started"
        with self._spawning:
            running.wanted = False
        running.started.wait(5.0)
        if running.identity is None or running.stopped.is_set():
            return "was not running"
        send_signal(running.identity.pid, signal.SIGTERM)
        how = "stopped"
        if not running.stopped.wait(running.part.grace_s):
            how = f"killed after {running.part.grace_s:.0f} s"
            send_signal(running.identity.pid, signal.SIGKILL, group=True)
            running.stopped.wait(5.0)
        return how

    def has_started(self, name: str) -> bool:
        """Whether a part was launched."""
        return name in self._running

    def kill_all(self) -> None:
        """End everything now."""
        for running in self._running.values():
            running.wanted = False
            if running.identity and not running.stopped.is_set():
                send_signal(running.identity.pid, signal.SIGKILL, group=True)

    def close(self) -> None:
        """Stop handling events; all parts should have ended."""
        self._closing.set()
        self._thread.join(5.0)

    def _spawn(self, running: _Running) -> None:
        running.restart_at, running.returncode, running.identity = None, None, None
        running.started.clear()
        running.stopped.clear()
        process = LoggedProcess(
            (sys.executable, "-S", "-E", str(_PARENT_DEATH), str(os.getpid()), *running.part.command),
            log=self._log_path(running.part.name),
            watched=self._watched,
            inherited=running.part.inherited,
            name=running.part.name,
            colour=next(self._colours),
            env=self._env,
            cwd=str(self._cwd),
        )
        self._printer.width = max(self._printer.width, len(running.part.name))
        threading.Thread(target=process.run, args=(self.events,), name=running.part.name, daemon=True).start()

    def _handle(self, message: Any) -> None:
        if message.type == "line":
            self._printer.write(message)
            return
        running = self._running[message.name]
        if message.type == "start":
            running.identity = identify(message.data["pid"])
            running.started.set()
        else:
            self._note_end(running, message.data["returncode"])
        self._on_change(self._identities())

    def _note_end(self, running: _Running, returncode: int) -> None:
        if running.identity:  # a dead pool leaves its children behind
            send_signal(running.identity.pid, signal.SIGKILL, group=True)
        running.returncode = returncode
        running.stopped.set()
        running.started.set()
        if not running.wanted:
            return
        now = time.monotonic()
        running.deaths.append(now)
        while now - running.deaths[0] > RESTART_WINDOW_S:
            running.deaths.popleft()
        if not self._restarting or (len(running.deaths) > MAX_RESTARTS and not self._is_full()):
            self.failure = running.part.name
            self.failed.set()
            return
        wait_s = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** (len(running.deaths) - 1))
        running.restart_at = now + wait_s
        self._say(f"{running.part.name} died ({describe_end(returncode)}); starting it again in {wait_s:g} s")

    def _restart_due(self) -> None:
        for running in self._running.values():
            with self._spawning:  # stop() must not miss a process that starts this very moment
                if running.restart_at is not None and running.wanted and time.monotonic() >= running.restart_at:
                    self._spawn(running)

    def _identities(self) -> dict[str, Identity]:
        return {
            name: running.identity
            for name, running in self._running.items()
            if running.identity and not running.stopped.is_set()
        }


def describe_end(returncode: int) -> str:
    """'exit code 3', or 'SIGKILL' for a negative code (subprocess's way to name a signal)."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
