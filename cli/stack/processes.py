"""Processes and their identity. A pid alone may have passed on to somebody else; a pid with its start time has not."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_HAS_PROC = (_PROC / "self" / "stat").exists()
_STATE, _SESSION, _START = 0, 3, 19  # fields 3, 6 and 22 of proc(5) stat, counted from behind the command's name


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that was started here: its pid, and its start time in whatever words the system has for it."""

    pid: int
    started: str


def identify(pid: int) -> Identity | None:
    """The identity of a running process; None if there is none (or only its remains, a zombie)."""
    started = _proc_start(pid) if _HAS_PROC else _ps_start(pid)
    return Identity(pid, started) if started else None


def is_alive(identity: Identity) -> bool:
    """Whether this very process runs still."""
    return identify(identity.pid) == identity


def list_session(leader: int) -> list[Identity]:
    """The running processes of the session that `leader` began, whether it lives or not. Empty where there is no /proc."""
    if not _HAS_PROC:
        return []
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat_fields(int(entry.name))
            if fields and int(fields[_SESSION]) == leader and fields[_STATE] != "Z":
                found.append(Identity(int(entry.name), fields[_START]))
    return found


def has_variable(pid: int, name: str, value: str) -> bool:
    """Whether a process was started with this environment variable. False where that cannot be read."""
    try:
        block = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return f"{name}={value}".encode() in block.split(b"\0")


def send_signal(pid: int, number: signal.Signals, *, group: bool = False) -> None:
    """Signal a process, or its whole group; one that is gone already is no error."""
    try:
        (os.killpg if group else os.kill)(pid, number)
    except ProcessLookupError:
        return
    except PermissionError:  # macOS answers so for a group of zombies
        return


def _stat_fields(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the name in parentheses may itself hold spaces and parentheses


def _proc_start(pid: int) -> str | None:
    fields = _stat_fields(pid)
    return fields[_START] if fields and fields[_STATE] != "Z" else None


def _ps_start(pid: int) -> str | None:
    """The start time by ps(1), for systems without /proc."""
    answer = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],  # noqa: S607  # wherever the system keeps it
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None
