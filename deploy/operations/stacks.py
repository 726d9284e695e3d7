"""What is backed up and restored, for a Compose project and for one without containers. Standard library only.

A stack has a ledger (PostgreSQL or SQLite) and folders: `objects` (uploads and indexes), `models`, `config` (models.config).
Passwords never stand on a command line: inside the container PostgreSQL trusts its own socket, outside PGPASSWORD or PGPASSFILE
is used.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
# A folder's name in a backup, where it lies in the containers, and the service that has it mounted for writing.
FOLDERS = {
    "objects": ("/var/lib/dermq/objects", "worker"),
    "models": ("/models", "models"),
    "config": ("/config", "models"),
}
# Unfinished writes. They belong to processes that will be gone.
PASSED_OVER = ("./.incoming", "./*/.seeding")
DIRECT_HELP = "no containers: DERMQ_DATA_DIR, DERMQ_DATABASE_URL, DERMQ_STORAGE_URL, DERMQ_MODELS_DIR name the stack"
_REVISION = "SELECT version_num FROM alembic_version"
_TABLES = "SELECT count(*) FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
_JOBS = "SELECT state, count(*) FROM jobs GROUP BY state ORDER BY state"


class OperationError(Exception):
    """Something is not as it must be; the message says what to do."""


class Stack(Protocol):
    """One installation."""

    kind: str  # "postgresql" or "sqlite": how its ledger is dumped

    def facts(self) -> dict[str, Any]:
        """What the manifest says besides the files: addresses without secrets, versions."""
        ...

    def query(self, sql: str) -> list[list[str]]:
        """Rows of the ledger."""
        ...

    def dump_ledger(self, target: Path) -> None:
        """Write one consistent snapshot."""
        ...

    def folders(self) -> Sequence[str]:
        """Names of the folders that this installation keeps on disks of its own."""
        ...

    def pack(self, name: str, target: Path) -> None:
        """Write a folder as a tar."""
        ...

    def prepare(self) -> None:
        """Start what a restore needs, and nothing that works on jobs."""
        ...

    def contents(self) -> list[str]:
        """What is there already; empty if a restore may go ahead."""
        ...

    def load_ledger(self, source: Path) -> None:
        """Fill the empty ledger from a dump, whole or not at all."""
        ...

    def unpack(self, name: str, source: Path) -> None:
        """Fill an empty folder from a tar."""
        ...

    def ready_ledger(self) -> None:
        """Migrate to the schema of the installed release, and end the leases of workers that are no more."""
        ...

    def start(self) -> None:
        """Let the jobs go on."""
        ...


def run(command: Sequence[str], *, ok: tuple[int, ...] = (0,), env: Mapping[str, str] | None = None, **streams: Any) -> str:
    """Run a command and return its output, unless `stdout` is given.

    Raises:
        OperationError: it cannot be started, or ends with a code that is not in `ok`.
    """
    streams.setdefault("stdout", subprocess.PIPE)
    streams.setdefault("stdin", subprocess.DEVNULL)
    try:
        done = subprocess.run(
            list(command), check=False, stderr=subprocess.PIPE, env={**os.environ, **(env or {})}, cwd=ROOT, **streams
        )
    except OSError as error:
        raise OperationError(f"{command[0]} cannot be started: {error.strerror}. Is it installed?") from error
    if done.returncode not in ok:
        said = done.stderr.decode(errors="replace").strip()[-2000:]
        raise OperationError(f"{' '.join(command)}\nended with {done.returncode}:\n{said}")
    return (done.stdout or b"").decode()


def read_rows(output: str) -> list[list[str]]:
    """Rows of `psql --tuples-only --no-align`."""
    return [line.split("|") for line in output.splitlines() if line]


def table_count(stack: Stack) -> int:
    """Tables that the ledger has."""
    if stack.kind == "sqlite":
        return int(stack.query("SELECT count(*) FROM sqlite_master WHERE type = 'table'")[0][0])
    return int(stack.query(_TABLES)[0][0])


def revision(stack: Stack) -> str:
    """The schema's revision.

    Raises:
        OperationError: it has none: there is nothing to back up.
    """
    rows = stack.query(_REVISION) if table_count(stack) else []
    if not rows:
        raise OperationError("the ledger is empty: there is nothing to back up. Is this the right project or address?")
    return rows[0][0]


def jobs_by_state(stack: Stack) -> str:
    """For people: `3 running, 120 succeeded`."""
    return ", ".join(f"{count} {state}" for state, count in stack.query(_JOBS)) or "no jobs"


class ComposeStack:
    """The project that `docker compose` finds here; COMPOSE_FILE, COMPOSE_PROJECT_NAME and .env choose it as always."""

    kind = "postgresql"

    def __init__(self) -> None:
        config = json.loads(self._compose("--profile", "*", "config", "--format", "json"))
        self._project = str(config["name"])
        self._services: dict[str, Any] = config["services"]

    def facts(self) -> dict[str, Any]:
        return {
            "stack": f"compose project {self._project}",
            "images": sorted(set(self._compose("ps", "--format", "{{.Service}}: {{.Image}}").splitlines())),
            "server": self.query("SHOW server_version")[0][0],
            "storage": self._storage,
        }

    @property
    def _storage(self) -> str:
        return str(self._services["worker"]["environment"]["DERMQ_STORAGE_URL"])

    def query(self, sql: str) -> list[list[str]]:
        return read_rows(self._psql("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", sql))

    def dump_ledger(self, target: Path) -> None:
        with target.open("wb") as file:
            self._psql("pg_dump", "--format=custom", "--no-owner", "--no-privileges", stdout=file)

    def folders(self) -> Sequence[str]:
        local = self._storage.startswith("file:")
        return [name for name in FOLDERS if name != "objects" or local]

    def pack(self, name: str, target: Path) -> None:
        folder, service = FOLDERS[name]
        with target.open("wb") as file:
            self._one_off(service, "tar", *_packing(folder), ok=(0, 1), stdout=file)

    def prepare(self) -> None:
        self._compose("up", "--detach", "--wait", "--no-deps", "postgres", "redis")

    def contents(self) -> list[str]:
        found = [f"{tables} tables in the ledger"] if (tables := table_count(self)) else []
        for name in self.folders():
            folder, service = FOLDERS[name]
            if self._one_off(
                service, "find", folder, "-mindepth", "1", "-type", "f", "-not", "-path", "*/.incoming/*", "-print", "-quit"
            ):
                found.append(f"files in {folder}")
        working = self._compose("ps", "--services", "--status", "running").split()
        return found + [f"the service {name} runs" for name in ("api", "beat", "worker") if name in working]

    def load_ledger(self, source: Path) -> None:
        with source.open("rb") as file:
            self._psql("pg_restore", "--single-transaction", "--exit-on-error", "--no-owner", stdin=file)

    def unpack(self, name: str, source: Path) -> None:
        folder, service = FOLDERS[name]
        with source.open("rb") as file:
            self._one_off(service, "tar", *_unpacking(folder), stdin=file)

    def ready_ledger(self) -> None:
        self._compose("run", "--rm", "--no-deps", "-T", "--entrypoint", "python", "dermq", "-m", "cli.stack.ledger")

    def start(self) -> None:
        self._compose("up", "--detach", "--wait")

    def _compose(self, *arguments: str, **options: Any) -> str:
        return run(["docker", "compose", *arguments], **options)

    def _psql(self, program: str, *arguments: str, **options: Any) -> str:
        # --no-password: over the container's own socket; a server that asks for one all the same is an error, not a prompt.
        login = ("--username=dermq", "--dbname=dermq", "--no-password")
        return self._compose("exec", "-T", "postgres", program, *login, *arguments, **options)

    def _one_off(self, service: str, *command: str, **options: Any) -> str:
        return self._compose("run", "--rm", "--no-deps", "-T", service, *command, **options)


class DirectStack:
    """An installation without containers: the one of `dermq up`, or PostgreSQL and folders named by DERMQ_* variables."""

    def __init__(self) -> None:
        home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
        self._data = Path(os.environ.get("DERMQ_DATA_DIR") or Path(home) / "dermq").absolute()
        self._url = os.environ.get("DERMQ_DATABASE_URL") or f"sqlite:///{self._data / 'dermq.db'}"
        self._storage = os.environ.get("DERMQ_STORAGE_URL") or (self._data / "objects").as_uri()
        self.kind = "sqlite" if self._url.startswith("sqlite") else "postgresql"
        self._file = Path(self._url.partition("///")[2])

    def facts(self) -> dict[str, Any]:
        server = sqlite3.sqlite_version if self.kind == "sqlite" else self.query("SHOW server_version")[0][0]
        return {"stack": str(self._data), "server": server, "storage": self._storage}

    def query(self, sql: str) -> list[list[str]]:
        if self.kind == "postgresql":
            return read_rows(self._postgres("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", sql))
        if not self._file.exists():
            return [["0"]]
        with closing(sqlite3.connect(f"{self._file.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            return [[str(value) for value in row] for row in connection.execute(sql)]

    def dump_ledger(self, target: Path) -> None:
        if self.kind == "postgresql":
            self._postgres("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")
            return
        source = sqlite3.connect(f"{self._file.as_uri()}?mode=ro", uri=True, timeout=30)
        with closing(source), closing(sqlite3.connect(target)) as copy:
            source.backup(copy)  # sqlite.org/backup.html: one snapshot, beside writers

    def folders(self) -> Sequence[str]:
        return [name for name in FOLDERS if self._place(name) is not None]

    def pack(self, name: str, target: Path) -> None:
        folder = self._folder(name)
        if name == "config":
            run(
                [
                    "tar",
                    "-C",
                    str(folder.parent),
                    "-cf",
                    str(target),
                    *([folder.name] if folder.exists() else ["-T", os.devnull]),
                ]
            )
            return
        folder.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            run(["tar", *_packing(str(folder))], ok=(0, 1), stdout=file)

    def prepare(self) -> None:
        self._data.mkdir(parents=True, exist_ok=True)

    def contents(self) -> list[str]:
        found = [f"{tables} tables in the ledger"] if (tables := table_count(self)) else []
        for name in self.folders():
            if any(path.is_file() for path in _files(self._folder(name))):
                found.append(f"files in {self._folder(name)}")
        return found

    def load_ledger(self, source: Path) -> None:
        if self.kind == "postgresql":
            self._postgres("pg_restore", "--single-transaction", "--exit-on-error", "--no-owner", str(source))
            return
        beside = self._file.with_name(f"{self._file.name}.partial")
        shutil.copyfile(source, beside)
        for suffix in ("-wal", "-shm", "-journal"):  # of another database that lay here: SQLite would add them to this one
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
        beside.replace(self._file)

    def unpack(self, name: str, source: Path) -> None:
        folder = self._folder(name)
        folder = folder.parent if name == "config" else folder
        folder.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as file:
            run(["tar", *_unpacking(str(folder))], stdin=file)

    def ready_ledger(self) -> None:
        run([sys.executable, "-m", "cli.stack.ledger"])

    def start(self) -> None:
        """Whoever set it up starts it: `dermq up`, or the units of this machine."""

    def _place(self, name: str) -> Path | None:
        if name == "objects":
            return Path(unquote(urlsplit(self._storage).path)) if self._storage.startswith("file:") else None
        if name == "models":
            return Path(os.environ.get("DERMQ_MODELS_DIR") or self._data / "models")
        return Path(os.environ.get("DERMQ_MODELS_CONFIG") or self._data / "models.config")

    def _folder(self, name: str) -> Path:
        place = self._place(name)
        if place is None:
            raise OperationError(f"{name} is not kept on this machine: {self._storage}")
        return place

    def _postgres(self, program: str, *arguments: str) -> str:
        parts = urlsplit(self._url)
        user = f"{parts.username}@" if parts.username else ""
        port = f":{parts.port}" if parts.port else ""
        address = f"postgresql://{user}{parts.hostname or ''}{port}{parts.path}"
        password = unquote(parts.password or "") or os.environ.get("DERMQ_DATABASE_PASSWORD", "")
        secret = {"PGPASSWORD": password} if password else {}
        return run([program, "--no-password", f"--dbname={address}", *arguments], env=secret)


def _packing(folder: str) -> list[str]:
    return ["-C", folder, *(f"--exclude={pattern}" for pattern in PASSED_OVER), "-cf", "-", "."]


def _unpacking(folder: str) -> list[str]:
    # The folder itself is a mount point that belongs to somebody else: what is in it is enough.
    return ["-C", folder, "--no-overwrite-dir", "--no-same-owner", "-xf", "-"]


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    elif place.is_dir():
        yield from (path for path in place.rglob("*") if ".incoming" not in path.parts)
