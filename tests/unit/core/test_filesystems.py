"""Which paths lie on another machine's file system, by a list of mounts that is laid out."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.db import engine
from core.errors import ConfigurationError
from core.filesystems import remote_filesystem
from core.settings import DatabaseSettings

LINES = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home rw shared:2 - nfs4 server:/home rw,vers=4.2
31 30 8:2 / /home/scratch rw - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/my\040share rw - cifs //server/share rw
33 22 0:42 / /mnt/cloud rw - fuse.sshfs host: rw
34 22 0:43 / /over rw - nfs server:/a rw
35 22 8:3 / /over rw - ext4 /dev/sdc1 rw
a line that is none
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(LINES)
    return path


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/dermq", None),
        ("/home/a/.local/share/dermq", "nfs4"),
        ("/homes/a", None),
        ("/home/scratch/dermq", None),
        ("/mnt/my share/dermq", "cifs"),
        ("/mnt/cloud", "fuse.sshfs"),
        ("/over/dermq", None),
    ],
)
def test_the_innermost_and_last_mount_counts(mounts: Path, path: str, kind: str | None) -> None:
    assert remote_filesystem(Path(path), mounts) == kind


def test_where_there_is_no_list_nothing_is_known(tmp_path: Path) -> None:
    assert remote_filesystem(Path("/home"), tmp_path / "gone") is None
    assert remote_filesystem(tmp_path) is None  # by this machine's own list


def test_sqlite_is_refused_there_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine, "remote_filesystem", lambda _: "nfs4")
    with pytest.raises(ConfigurationError, match=r"of another machine \(nfs4\), where SQLite's locks do not hold: name a data"):
        engine.open_engine(f"sqlite:///{tmp_path / 'dermq.db'}", DatabaseSettings())
    assert not (tmp_path / "dermq.db").exists()
