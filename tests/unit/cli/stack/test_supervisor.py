"""The supervisor with real processes: it restarts, gives up, stops in order, and takes them along when it is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.stack import supervisor as module
from cli.stack.parts import Part
from cli.stack.ports import listen
from cli.stack.processes import Identity, is_alive
from cli.stack.supervisor import Supervisor, describe_end

SLEEP = "import time; print('here', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
child.wait()
"""


class Stage:
    """A supervisor and what it reported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, Identity] = {}
        self.said: list[str] = []
        self.supervisor = Supervisor(
            env=dict(os.environ),
            cwd=folder,
            log_path=lambda name: folder / f"{name}.log",
            on_change=self.note_running,
            say=self.said.append,
        )
        self.supervisor.begin()

    def note_running(self, running: dict[str, Identity]) -> None:
        self.running = running

    def launch(self, name: str, code: str, grace_s: float = 5.0, inherited: tuple[int, ...] = ()) -> None:
        self.supervisor.launch(Part(name, (sys.executable, "-c", code), grace_s, inherited))

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.supervisor.kill_all()
    made.supervisor.close()


def wait_for(condition: Callable[[], bool], limit_s: float = 15.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_a_killed_process_is_started_again(stage: Stage) -> None:
    stage.launch("worker", SLEEP)
    wait_for(lambda: "here" in stage.log("worker"))
    stage.supervisor.keep_running()
    first = stage.running["worker"]
    os.kill(first.pid, signal.SIGKILL)
    wait_for(lambda: stage.running.get("worker") not in (None, first))
    assert stage.said == ["worker died (SIGKILL); starting it again in 0.5 s"]
    assert stage.supervisor.failure is None


def test_a_death_before_the_stack_is_ready_is_a_failure(stage: Stage) -> None:
    stage.launch("api", "import sys; sys.exit('cannot bind')")
    assert stage.supervisor.failed.wait(10)
    assert stage.supervisor.failure == "api"
    assert "cannot bind" in stage.log("api")


def test_what_dies_again_and_again_is_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_BACKOFF_S", 0.01)
    stage.supervisor.keep_running()
    stage.launch("worker", "print('try', flush=True); raise SystemExit(3)")
    assert stage.supervisor.failed.wait(30)
    assert len(stage.said) == module.MAX_RESTARTS
    assert stage.log("worker").count("try") == module.MAX_RESTARTS + 1


def test_stop_is_gentle_first_and_hard_after_the_grace(stage: Stage) -> None:
    stage.supervisor.keep_running()
    stage.launch("gentle", SLEEP)
    stage.launch("stubborn", STUBBORN, grace_s=0.3)
    wait_for(lambda: "here" in stage.log("gentle") and "here" in stage.log("stubborn"))
    running = dict(stage.running)
    assert stage.supervisor.stop("gentle") == "stopped"
    assert is_alive(running["stubborn"])
    assert stage.supervisor.stop("stubborn") == "killed after 0 s"
    assert stage.supervisor.stop("stubborn") == "was not running"
    assert stage.supervisor.stop("never") == "not started"
    assert not any(is_alive(identity) for identity in running.values())
    assert stage.said == []


def test_the_children_of_a_dead_part_do_not_outlive_it(stage: Stage) -> None:
    stage.launch("worker", PARENT)
    wait_for(lambda: stage.log("worker").strip().isdigit())
    pid = int(stage.log("worker"))
    os.kill(stage.running["worker"].pid, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3])


def test_output_is_shown_where_it_is_watched(tmp_path: Path) -> None:
    from io import StringIO

    from honcho.printer import Printer

    shown = StringIO()
    supervisor = Supervisor(
        env=dict(os.environ),
        cwd=tmp_path,
        log_path=lambda name: tmp_path / f"{name}.log",
        on_change=lambda _: None,
        say=lambda _: None,
        printer=Printer(shown, prefix=True),
        watched=True,
    )
    supervisor.begin()
    supervisor.launch(Part("worker", (sys.executable, "-c", "print('ünï')"), 1.0))
    assert supervisor.failed.wait(10)
    supervisor.close()
    assert shown.getvalue().endswith("worker | ünï\n")
    assert (tmp_path / "worker.log").read_text() == "ünï\n"


HOST = """
import sys, time
from pathlib import Path
from cli.stack.parts import Part
from cli.stack.supervisor import Supervisor
folder = Path(sys.argv[1])
show = lambda running: [print(identity.pid, identity.started, flush=True) for identity in running.values()]
supervisor = Supervisor(env={}, cwd=folder, log_path=lambda name: folder / f"{name}.log", on_change=show, say=print)
supervisor.begin()
supervisor.launch(Part("worker", (sys.executable, "-c", "import time; time.sleep(60)"), 1.0))
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the tie is prctl's, which only Linux has")
def test_a_killed_supervisor_takes_its_processes_along(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOST, str(tmp_path)], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout
        pid, started = host.stdout.readline().split()
        identity = Identity(int(pid), started)
        assert is_alive(identity)
        wait_for(lambda: b"time.sleep(60)" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-2])
        wait_for(lambda: b"parent_death" not in Path(f"/proc/{pid}/cmdline").read_bytes())
        host.kill()
        wait_for(lambda: not is_alive(identity))


def test_ends_have_names() -> None:
    assert [describe_end(code) for code in (0, 3, -9, -250)] == ["exit code 0", "exit code 3", "SIGKILL", "signal 250"]


_GREETER = """
import os, socket
listener = socket.socket(fileno={fd})
while True:
    connection, _ = listener.accept()
    connection.sendall(str(os.getpid()).encode())
    connection.close()
"""


def ask(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        return int(connection.recv(64))


def test_a_part_answers_on_the_inherited_socket_also_after_a_crash(stage: Stage) -> None:
    """The port is held by the parent: while the part is started again, clients wait, and nobody else can answer them."""
    with listen(0, "127.0.0.1") as listener:
        port = listener.getsockname()[1]
        stage.launch("api", _GREETER.format(fd=listener.fileno()), inherited=(listener.fileno(),))
        stage.supervisor.keep_running()
        first = ask(port)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: bool(stage.said))  # until it has died, it may still take a connection, and give no answer
        assert ask(port) != first
        assert stage.said == ["api died (SIGKILL); starting it again in 0.5 s"]
        with pytest.raises(OSError, match="in use"):
            listen(port, "127.0.0.1")
