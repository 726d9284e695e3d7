"""The one-machine stack as a whole: start, wait until it is ready, keep it, stop it in order."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.output.exit_codes import CliError, ExitCode
from cli.stack import logfiles as logs
from cli.stack import valkey
from cli.stack.environment import Sources, make_environment
from cli.stack.folder import DataFolder
from cli.stack.lock import FolderLock
from cli.stack.models_config import find_repository, write_models_config
from cli.stack.parts import STOP_ORDER, Addresses, list_parts
from cli.stack.ports import free_port, listen, own_host
from cli.stack.processes import Identity, identify
from cli.stack.readiness import ask_ready
from cli.stack.reaping import reap
from cli.stack.state import StackState, load_state
from cli.stack.supervisor import Supervisor
from core.environment import read_settings, unknown_variables

START_LIMIT_S = 180.0
_LOG_OF = {"broker": "valkey", "serving": "serving", "worker": "worker"}  # of what /readyz names, the log that tells why


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What a stack is asked for."""

    sources: Sources = field(default_factory=Sources)  # that jobs may name, besides those of the settings
    port: int | None = None  # of the API; None takes the settings' one, or a free one if that is taken
    canary_percent: float | None = None  # share of new jobs for the label canary; None leaves it to the settings
    watched: bool = False  # print the parts' output
    tells_stop: bool = False  # say of each part when it has stopped


class Stack:
    """A running one-machine stack; a context manager that stops it.

    Args:
        folder: the data folder.
        options: ports and the like.
        note: called with what is worth a line of its own (an orphan reaped, a crash).
        progress: called again and again with what is being waited for.
    """

    def __init__(
        self,
        folder: DataFolder,
        options: StackOptions,
        *,
        note: Callable[[str], None],
        progress: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self.options = options
        self._note, self._progress = note, progress
        self._lock = FolderLock(folder.lock)
        self._supervisor: Supervisor | None = None
        self._listener: socket.socket | None = None  # the API's: held here, no other process can answer in its place
        self._state: StackState | None = None
        self._saving = threading.Lock()  # the supervisor's thread writes the state, too
        self._unsaved = False  # the last write of the state failed
        self.url = ""

    def __enter__(self) -> Self:
        try:
            with self.folder.faults_named("written"):
                self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def await_failure(self, timeout_s: float) -> None:
        """Wait; a part that cannot be kept running ends the wait.

        Raises:
            CliError: which part, with the last lines of its log.
        """
        if self._unsaved:
            self._save()
        if self._supervisor and self._supervisor.failed.wait(timeout_s):
            raise self._failure(f"{self._supervisor.failure} keeps dying")

    def stop(self) -> None:
        """Stop all in order, from the entry point inwards; a second Ctrl-C meanwhile kills what is left."""
        supervisor, self._supervisor = self._supervisor, None
        self._stop_listening()
        try:
            if supervisor:
                self._stop_parts(supervisor)
        finally:
            self._forget()
            self._lock.release()

    def _stop_parts(self, supervisor: Supervisor) -> None:
        try:
            for name in filter(supervisor.has_started, STOP_ORDER):
                self._progress(f"stopping {name}" if self.options.tells_stop else "stopping the stack")
                began = time.monotonic()
                how = supervisor.stop(name)
                if how.startswith("killed") or (how == "stopped" and self.options.tells_stop):
                    self._note(f"{name} {how} ({time.monotonic() - began:.1f} s)")
        except KeyboardInterrupt:
            self._note("killing what is left")
        finally:
            supervisor.kill_all()
            supervisor.close()

    def _start(self) -> None:
        began = time.monotonic()
        read = read_settings()
        settings = read.api
        for warning in unknown_variables(os.environ):
            self._note(warning)
        self.folder.create()
        self._lock.acquire()
        self._reap()
        host = own_host()
        self._listener = self._listen(settings.port, host)
        api_port = self._listener.getsockname()[1]
        addresses = Addresses(free_port(host), free_port(host), api_port, secrets.token_urlsafe(24), host)
        stack_id = str(uuid.uuid4())
        sources = self.options.sources.with_settings(settings, read.egress)
        models = self._write_models_config()
        environment = make_environment(self.folder, addresses, stack_id=stack_id, sources=sources, models=models)
        if self.options.canary_percent is not None:
            environment["DERMQ_API_CANARY_PERCENT"] = str(self.options.canary_percent)
        command = (
            str(valkey.find_binary()),
            str(valkey.write_config(self.folder.valkey, addresses)),
        )
        parts = list_parts(self.folder, addresses, command, self._listener.fileno())
        for name in (*parts, "ledger"):
            logs.open_run(self.folder.log(name))
        self._state = _new_state(stack_id, addresses, sources.roots)
        self._supervisor = self._make_supervisor(environment)
        self._supervisor.begin()
        self._supervisor.launch(parts["valkey"])
        self._supervisor.launch(parts["serving"])  # the slowest to load: the rest starts meanwhile
        self._ready_ledger(environment)
        self._await_valkey(addresses)
        for name in ("worker", "beat", "api"):
            self._supervisor.launch(parts[name])
        self._await_ready(addresses.api_url, began)
        self._supervisor.keep_running()
        self._announce(addresses.api_url)

    def _make_supervisor(self, environment: dict[str, str]) -> Supervisor:
        from honcho.printer import Printer

        return Supervisor(
            env=environment,
            cwd=self.folder.root,
            log_path=self.folder.log,
            on_change=self._record,
            is_full=self.folder.is_full,
            say=self._note,
            printer=Printer(sys.stderr),
            watched=self.options.watched,
        )

    def _record(self, processes: dict[str, Identity]) -> None:
        if self._state:
            self._state.processes = processes
            self._save()

    def _save(self) -> None:
        """Write the state down. A full disk is no reason to stop anything: it is tried again while the stack runs."""
        with self._saving:
            if self._state is None:
                return
            try:
                self._state.save(self.folder.state)
            except OSError as error:
                if not self._unsaved:
                    self._note(f"{self.folder.state} cannot be written ({error.strerror}); the stack goes on, and tries again")
                self._unsaved = True
            else:
                self._unsaved = False

    def _announce(self, url: str) -> None:
        """The stack is ready: write down where, for other commands on this folder."""
        self.url = url
        if self._state:
            self._state.url = url
            self._save()
        self._lock.publish(url)

    def _forget(self) -> None:
        if self._state:
            self._state.processes, self._state.url = {}, ""
            self._save()
            self._state = None

    def _reap(self) -> None:
        earlier = load_state(self.folder.state)
        if earlier and earlier.processes:
            self._progress("ending what an earlier run left behind")
            found = reap(earlier)
            if found:
                self._note(f"an earlier run was killed; ended what it left behind: {', '.join(found)}")

    def _listen(self, preferred: int, host: str) -> socket.socket:
        try:
            return listen(self.options.port or preferred, host)
        except OSError as error:
            if self.options.port is None:
                return listen(0, host)
            taken = error.errno == errno.EADDRINUSE
            raise CliError(
                f"port {self.options.port} "
                + ("is taken by another process" if taken else f"cannot be used: {error.strerror}"),
                ExitCode.CONFLICT,
                "Choose another with --port, or leave it out: a free one is found then.",
            ) from error

    def _stop_listening(self) -> None:
        """Clients are refused from now on. Until now they waited for an API that was being started again."""
        listener, self._listener = self._listener, None
        if listener:
            listener.close()

    def _write_models_config(self) -> list[str]:
        repository = find_repository(self.folder)
        models = write_models_config(repository, self.folder.models_config)
        if not models:
            places = " nor ".join(map(str, repository.roots))
            raise CliError(
                f"no model: neither {places} holds <name>/<version>/saved_model.pb",
                ExitCode.USAGE,
                "Install DermQ again, or put an exported model there.",
            )
        return models

    def _ready_ledger(self, environment: dict[str, str]) -> None:
        self._progress("readying the database")
        with self.folder.log("ledger").open("ab") as log:
            done = subprocess.run(
                [sys.executable, "-m", "cli.stack.ledger"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self.folder.root,
                check=False,
                timeout=START_LIMIT_S,
            )
        if done.returncode != 0:
            raise self._failure("the database could not be readied", "ledger")

    def _await_valkey(self, addresses: Addresses) -> None:
        self._progress("starting valkey")
        if not valkey.await_ready(addresses, 30.0):
            raise self._failure("valkey does not answer", "valkey")

    def _await_ready(self, url: str, began: float) -> None:
        supervisor = self._supervisor
        while supervisor and not supervisor.failed.wait(0.1):
            answer = ask_ready(url)
            if answer.ready:
                return
            missing = answer.missing if answer.answered else ("serving", "worker", "api")
            self._progress(f"starting {', '.join(missing)}")
            if time.monotonic() - began > START_LIMIT_S:
                message = f"not ready after {START_LIMIT_S:.0f} s, still waiting for {', '.join(missing)}"
                raise self._failure(message, _LOG_OF.get(missing[-1], "api"))
        raise self._failure(f"{supervisor.failure if supervisor else 'the stack'} died while the stack was starting")

    def _failure(self, message: str, name: str | None = None) -> CliError:
        name = name or (self._supervisor.failure if self._supervisor else None) or "api"
        path = self.folder.log(name)
        tail = "".join(f"\n  | {line}" for line in logs.read_tail(path))
        return CliError(f"{message}.{tail}", ExitCode.JOB_FAILED, f"Its log: {path}")


def _new_state(stack_id: str, addresses: Addresses, source_roots: Sequence[Path]) -> StackState:
    own = identify(os.getpid())
    if own is None:
        raise RuntimeError(f"the start time of this process ({os.getpid()}) cannot be read from /proc or ps")
    return StackState(
        stack_id=stack_id,
        supervisor=own,
        host=addresses.host,
        ports={"valkey": addresses.valkey_port, "serving": addresses.serving_port, "api": addresses.api_port},
        source_roots=[str(path) for path in source_roots],
        broker_url=addresses.broker_url,
    )
