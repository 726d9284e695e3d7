"""How many processors this process may use: by its affinity (`taskset`, cpusets) and by its cgroup's limit (`--cpus`)."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def usable_processors() -> int:
    """At least one. A limit of 1.5 processors counts as two: the second is there half of the time."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_processors(_CGROUPS, _OWN)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cgroup_processors(root: Path, own: Path) -> float | None:
    """The strictest limit of this process's cgroup and those above it; None where there is none (cgroups(7)).

    Args:
        root: where cgroups are mounted.
        own: /proc/self/cgroup.
    """
    limits = [limit for folder in _folders(root, own) if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def _folders(root: Path, own: Path) -> list[Path]:
    """The group's folder and those above it, of version 2 and of version 1's controller `cpu`."""
    found = [root, root / "cpu", root / "cpu,cpuacct"]
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / controllers if controllers else root
        parts = [part for part in path.split("/") if part not in ("", "..")]
        found += [base.joinpath(*parts[: count + 1]) for count in range(len(parts))]
    return found


def _limit(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        except (OSError, ValueError):
            return None
    if not (quota.isdecimal() and period.isdecimal()) or int(period) == 0:  # "max", or -1
        return None
    return int(quota) / int(period)
