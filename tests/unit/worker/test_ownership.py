"""Whose lease it is, and when its owner is certainly dead."""

from __future__ import annotations

import subprocess
import sys

from worker.ownership import is_certainly_dead, owner_id


def test_a_living_process_is_not_dead_and_a_reaped_one_is() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = owner_id(child.pid)
    assert not is_certainly_dead(owner)
    child.communicate(b"\n")
    assert is_certainly_dead(owner)
    assert not is_certainly_dead(owner_id())


def test_a_reused_pid_is_another_process() -> None:
    host, namespace, pid, start = owner_id().rsplit("/", 3)
    assert is_certainly_dead(f"{host}/{namespace}/{pid}/{int(start) - 1}")


def test_no_verdict_on_other_hosts_and_namespaces() -> None:
    _, namespace, _, _ = owner_id().rsplit("/", 3)
    assert not is_certainly_dead(f"elsewhere/{namespace}/1/1")
    host = owner_id().split("/", 1)[0]
    assert not is_certainly_dead(f"{host}/12345/999999/1")
