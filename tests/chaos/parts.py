"""The parts of the stack, each a real process that can be killed, frozen and started again."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine

from core.db.engine import open_engine
from core.db.schema.migrate import upgrade
from core.settings import DatabaseSettings
from tests.chaos.points import FOLDER_VARIABLE
from tests.chaos.proxy import Proxy
from tests.support.servers import ROOT, accepts, broker_binary, free_port, postgres_programs, wait_until
from tests.support.stack import RHYTHM

_START_S = 120.0
_GRACE_S = 25.0


@dataclass
class Part:
    """One process, in a session of its own."""

    name: str
    command: list[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    port: int | None = None  # it is there when it listens here
    stop_signal: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens. While it was away, another program may have taken its port for a connection."""
        deadline = time.monotonic() + _START_S
        while not self._start_once():
            if time.monotonic() > deadline:
                raise TimeoutError(f"expected {self.name} on port {self.port} within {_START_S:g} s; its log is {self.log}")
            time.sleep(0.5)

    def _start_once(self) -> bool:
        """Whether it listens; not, where it ended by itself."""
        with self.log.open("ab") as output:
            process = self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
                cwd=ROOT if self.user is None else self.log.parent,
                start_new_session=True,
                user=self.user,
            )
        if self.port is None:
            return True
        what = f"{self.name} on port {self.port}"
        wait_until(lambda: accepts(self.port or 0) or process.poll() is not None, timeout_s=_START_S, what=what)
        return process.poll() is None

    def kill(self) -> None:
        """SIGKILL to all of it."""
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(_GRACE_S)

    def kill_child(self) -> None:
        """SIGKILL to one of its children, or to itself where it has none."""
        pid = self.process.pid if self.process else 0
        children = _children(pid)
        with suppress(ProcessLookupError):
            os.kill(children[-1] if children else pid, signal.SIGKILL)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """As an operator stops it: asked first, killed after its grace."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def restart_if_dead(self) -> bool:
        """What died by itself (a fault point of its code) is started again, as by a container engine."""
        if self.process is None or self.process.poll() is None:
            return False
        self._signal(signal.SIGKILL)  # its children
        self.start()
        return True

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


@dataclass
class Stack:
    """All parts, the proxies between them, and a way to the ledger around those."""

    folder: Path
    parts: dict[str, Part]
    proxies: dict[str, Proxy]
    engine: Engine
    api_url: str
    serving_address: str
    broker_url: str

    @property
    def objects(self) -> Path:
        return self.folder / "objects"

    @property
    def points(self) -> Path:
        return self.folder / "points"

    def flush_broker(self) -> None:
        """FLUSHALL; nothing where it does not answer this very moment."""
        with suppress(RedisError), Redis.from_url(self.broker_url, socket_timeout=2) as redis:
            redis.flushall()


@contextmanager
def running_stack(folder: Path, models: Path, *, postgres: bool) -> Iterator[Stack]:
    """Start everything; end everything.

    Args:
        folder: for its files.
        models: base path of the model `tiny`.
        postgres: PostgreSQL and Redis; otherwise SQLite and Valkey, as on one machine.
    """
    for name in ("broker", "objects", "points", "logs"):
        (folder / name).mkdir()
    with ExitStack() as exits:
        parts: dict[str, Part] = {}
        if postgres:
            parts["postgres"] = exits.enter_context(_postgres(folder))
        broker = "redis" if postgres and broker_binary("redis") else "valkey"
        ports = {name: free_port() for name in ("broker", "serving", "api")}
        parts["broker"] = Part("broker", _broker_command(broker, folder, ports["broker"]), folder / "logs/broker.log")
        parts["serving"] = Part("serving", _serving_command(models, ports["serving"]), folder / "logs/serving.log")
        for name in ("broker", "serving"):
            parts[name].port = ports[name]
        for part in parts.values():
            exits.callback(part.kill)
            part.start()
        targets = {name: port for name in ("broker", "serving", "postgres") if name in parts and (port := parts[name].port)}
        proxies = {name: Proxy(port) for name, port in targets.items()}
        for proxy in proxies.values():
            exits.callback(proxy.close)
        direct, behind = _database_urls(folder, parts, proxies)
        engine = open_engine(direct, DatabaseSettings())
        exits.callback(engine.dispose)
        _patiently(lambda: upgrade(engine))
        env = _environment(folder, behind, proxies, ports["api"])
        python = [sys.executable, "-m"]
        commands = {
            "api": [*python, "api"],
            "beat": [*python, "worker", "beat"],
            "worker-1": [*python, "tests.chaos.points"],
            "worker-2": [*python, "tests.chaos.points"],
        }
        for name, command in commands.items():
            parts[name] = Part(name, command, folder / f"logs/{name}.log", env, port=ports["api"] if name == "api" else None)
            exits.callback(parts[name].kill)
            parts[name].start()
        yield Stack(
            folder=folder,
            parts=parts,
            proxies=proxies,
            engine=engine,
            api_url=f"http://127.0.0.1:{ports['api']}",
            serving_address=f"127.0.0.1:{ports['serving']}",
            broker_url=f"redis://127.0.0.1:{ports['broker']}/0",
        )


def _broker_command(kind: str, folder: Path, port: int) -> list[str]:
    binary = broker_binary(kind)
    assert binary is not None, f"{kind} is not installed"
    place = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder / "broker")]
    return [binary, *place, "--appendonly", "yes", "--save", ""]


def _serving_command(models: Path, port: int) -> list[str]:
    flags = [f"--port={port}", "--model_name=tiny", f"--model_base_path={models}"]
    return [sys.executable, "-m", "serving.embedded", *flags]


@contextmanager
def _postgres(folder: Path) -> Iterator[Part]:
    programs = postgres_programs()
    assert programs is not None, "PostgreSQL is not installed"
    user = "postgres" if os.geteuid() == 0 else None
    home, port = folder / "postgres", free_port()
    home.mkdir()
    if user is not None:
        os.chown(home, pwd.getpwnam(user).pw_uid, -1)
        for parent in (folder, *folder.parents):  # pytest's folders are closed to other users
            with suppress(PermissionError):
                parent.chmod(parent.stat().st_mode | 0o011)
    initdb = [
        str(programs / "initdb"),
        "-D",
        str(home / "data"),
        "-U",
        "dermq",
        "--auth=trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
    ]
    subprocess.run(initdb, check=True, user=user, cwd=home, stdout=subprocess.DEVNULL)
    command = [str(programs / "postgres"), "-D", str(home / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", str(home)]
    log = home / "postgres.log"
    yield Part("postgres", command, log, user=user, port=port, stop_signal=signal.SIGINT)


def _database_urls(folder: Path, parts: Mapping[str, Part], proxies: Mapping[str, Proxy]) -> tuple[str, str]:
    if "postgres" not in parts:
        url = f"sqlite:///{folder / 'ledger.db'}"
        return url, url
    urls = [
        f"postgresql+psycopg://dermq@127.0.0.1:{port}/postgres" for port in (parts["postgres"].port, proxies["postgres"].port)
    ]
    return urls[0], urls[1]


def _environment(folder: Path, database_url: str, proxies: Mapping[str, Proxy], api_port: int) -> dict[str, str]:
    return {
        **RHYTHM,
        # A machine that does other things, too, must not be taken for a task that hangs: sweeps are under these limits as well.
        "DERMQ_WORKER_SOFT_LIMIT_S": "15",
        "DERMQ_WORKER_HARD_LIMIT_S": "20",
        "DERMQ_WORKER_VISIBILITY_TIMEOUT_S": "60",
        "DERMQ_DATABASE_URL": database_url,
        "DERMQ_DATABASE_CONNECT_TIMEOUT_S": "3",
        "DERMQ_DATABASE_STATEMENT_TIMEOUT_S": "10",
        "DERMQ_BROKER_URL": f"redis://127.0.0.1:{proxies['broker'].port}/0",
        "DERMQ_BROKER_SOCKET_TIMEOUT_S": "3",
        "DERMQ_STORAGE_URL": (folder / "objects").as_uri(),
        "DERMQ_STORAGE_SCAN_INTERVAL_S": "2",
        "DERMQ_STORAGE_STRAY_AGE_S": "20",  # longer than any upload of a run takes
        "DERMQ_SERVING_ADDRESS": f"127.0.0.1:{proxies['serving'].port}",
        "DERMQ_SERVING_DEFAULT_MODEL": "tiny",
        "DERMQ_SERVING_TIMEOUT_S": "3",
        "DERMQ_DATA_DIR": str(folder / "data"),
        "DERMQ_API_PORT": str(api_port),
        "DERMQ_API_SOURCE_ROOTS": json.dumps([]),
        "DERMQ_LOG_LEVEL": "WARNING",
        FOLDER_VARIABLE: str(folder / "points"),
    }


def _patiently(work: Callable[[], object], limit_s: float = 30.0) -> None:
    """A PostgreSQL that listens may still be starting up."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            work()
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
