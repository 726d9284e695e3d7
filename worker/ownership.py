"""Who holds a lease: a name for this very process, and whether another process of that name is certainly dead.

A pid alone is not enough: pids are reused, and containers number theirs from 1. The name therefore holds host, pid namespace,
pid and the process's start time; a verdict is given only on owners of the same host and namespace.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path


def owner_id(pid: int | None = None) -> str:
    """host/namespace/pid/start of a process of this machine; this process by default."""
    pid = os.getpid() if pid is None else pid
    return f"{socket.gethostname()}/{_pid_namespace()}/{pid}/{_start_time(pid)}"


def is_certainly_dead(owner: str) -> bool:
    """True only if the owner ran here and its process is gone; False for other hosts, or where there is no /proc."""
    host, namespace, pid, start = owner.rsplit("/", 3)
    if host != socket.gethostname() or namespace != _pid_namespace() or start == "0":
        return False
    return _start_time(int(pid)) != start


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return "none"


def _start_time(pid: int) -> str:
    """Clock ticks since boot (proc(5), field 22); "0" if there is no such process, or no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "0"
    fields = stat.rpartition(")")[2].split()
    return "0" if fields[0] == "Z" else fields[19]
