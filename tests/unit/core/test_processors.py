"""Limits of cgroups, laid out in a folder: version 2, version 1, nested, and none."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import processors
from core.processors import cgroup_processors, usable_processors


def laid_out(root: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    for name, text in files.items():
        (root / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "fs" / name).write_text(text)
    (root / "own").write_text(own)
    return root / "fs", root / "own"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 0.5),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "200000 100000\n"}, 2.0),
        ("4:cpu,cpuacct:/docker/x\n3:memory:/y\n", {"cpu,cpuacct/docker/x/cpu.cfs_quota_us": "-1", "x": ""}, None),
        (
            "4:cpu,cpuacct:/docker/x\n",
            {"cpu,cpuacct/docker/x/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000\n"},
            3.0,
        ),
        ("0::/../..\n", {"cpu.max": "100000 0\n"}, None),
    ],
    ids=["own", "none", "above", "nested", "version 1 without", "version 1", "nonsense"],
)
def test_the_strictest_limit_counts(tmp_path: Path, own: str, files: dict[str, str], expected: float | None) -> None:
    assert cgroup_processors(*laid_out(tmp_path, own, files)) == expected


def test_a_limit_below_the_affinity_is_rounded_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, own = laid_out(tmp_path, "0::/\n", {"cpu.max": "150000 100000\n"})
    monkeypatch.setattr(processors, "_CGROUPS", root)
    monkeypatch.setattr(processors, "_OWN", own)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    assert usable_processors() == 2
    (root / "cpu.max").write_text("20000 100000\n")
    assert usable_processors() == 1
    own.unlink()
    (root / "cpu.max").unlink()
    assert usable_processors() == 8
