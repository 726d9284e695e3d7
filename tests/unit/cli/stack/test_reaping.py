"""What a killed run leaves behind is ended; what is not ours is left alone. Real processes throughout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.stack import reaping
from cli.stack.processes import Identity, identify, is_alive, list_session
from cli.stack.reaping import _await_end, reap
from cli.stack.state import STACK_VARIABLE, StackState, load_state

# A leader with one child in its session, which says its pid once it runs; ends on SIGTERM unless asked to ignore it.
FAMILY = """
import signal, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"])
time.sleep(60)
"""


class Family:
    """A leader and its child."""

    def __init__(self, stack_id: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", FAMILY, *arguments],
            stdout=subprocess.PIPE,
            env={**os.environ, STACK_VARIABLE: stack_id},
            start_new_session=True,
        )
        assert self.process.stdout
        child = identify(int(self.process.stdout.readline()))
        leader = identify(self.process.pid)
        assert child
        assert leader
        self.leader, self.child = leader, child

    def end(self) -> None:
        for identity in (self.leader, self.child):
            if is_alive(identity):
                os.kill(identity.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture
def families() -> Iterator[list[Family]]:
    started: list[Family] = []
    yield started
    for family in started:
        family.end()


def start_family(families: list[Family], stack_id: str, *arguments: str) -> Family:
    families.append(Family(stack_id, *arguments))
    return families[-1]


def make_state(stack_id: str, **processes: Identity) -> StackState:
    return StackState(stack_id, Identity(1, "0"), processes=processes)


def test_leader_and_child_are_ended(families: list[Family]) -> None:
    family = start_family(families, "run-1")
    assert {member.pid for member in list_session(family.leader.pid)} == {family.leader.pid, family.child.pid}
    assert reap(make_state("run-1", worker=family.leader), grace_s=1.0) == ["worker"]
    assert not is_alive(family.leader)
    assert not is_alive(family.child)


def test_one_that_ignores_sigterm_is_killed_after_the_grace(families: list[Family], monkeypatch: pytest.MonkeyPatch) -> None:
    family = start_family(families, "run-1", "stubborn")
    waits: list[tuple[float, bool]] = []  # how long was waited at most, and whether the leader lived on

    def await_end(identities: list[Identity], limit_s: float) -> None:
        _await_end(identities, limit_s)
        waits.append((limit_s, is_alive(family.leader)))

    monkeypatch.setattr(reaping, "_await_end", await_end)
    reap(make_state("run-1", worker=family.leader), grace_s=0.5)
    assert waits == [(0.5, True), (0.5, False)]
    assert family.process.wait() == -signal.SIGKILL


def test_the_children_of_a_dead_leader_are_found_by_the_runs_id(families: list[Family]) -> None:
    family = start_family(families, "run-1")
    family.process.kill()
    family.process.wait()
    assert is_alive(family.child)
    assert reap(make_state("run-1", worker=family.leader), grace_s=1.0) == ["worker"]
    assert not is_alive(family.child)


def test_somebody_elses_process_under_a_recycled_pid_is_left_alone(families: list[Family]) -> None:
    family = start_family(families, "run-2")
    recycled = Identity(family.leader.pid, "1")  # the same pid, started at another time
    assert reap(make_state("run-1", worker=recycled), grace_s=0.2) == []
    assert is_alive(family.leader)
    assert is_alive(family.child)


def test_nothing_left_nothing_done() -> None:
    assert reap(make_state("run-1", worker=Identity(2**22 + 1, "5")), grace_s=5.0) == []


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        identity = identify(process.pid)
        assert identity
        deadline = time.monotonic() + 10
        while is_alive(identity):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert process.returncode is None  # nobody has waited for it


def test_state_survives_the_file_and_a_broken_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert load_state(path) is None
    state = make_state("run-1", worker=Identity(7, "abc"))
    state.url = "http://127.0.0.1:1"
    state.save(path)
    assert load_state(path) == state
    assert path.stat().st_mode & 0o077 == 0
    for text in ("", "{", "[]", '{"stack_id": "x"}', '{"stack_id": "x", "supervisor": {"pid": 1}}'):
        path.write_text(text)
        assert load_state(path) is None
