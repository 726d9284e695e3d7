"""File systems on which SQLite's locks do not hold: a folder of another machine."""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
# By the names of Linux (proc(5), mountinfo). sqlite.org/lockingv3.html, section 6: locks on NFS are often broken; the shared
# memory of its write-ahead log is of one machine only.
_REMOTE = re.compile(r"nfs\d?|cifs|smb\d?|afs|ceph|glusterfs|lustre|fuse\.(sshfs|glusterfs|s3fs|rclone|gcsfuse|mount-s3)")
_ESCAPED = re.compile(r"\\([0-7]{3})")


def remote_filesystem(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The kind of the file system of another machine that a path lies on; None where it is of this one, or not known.

    Args:
        path: absolute; it need not exist.
        mounts: the kernel's list of mounts.
    """
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:  # no Linux
        return None
    place, kind = Path("/"), ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = Path(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        if path.is_relative_to(point) and len(point.parts) >= len(place.parts):  # the last of two at one place counts
            place, kind = point, after.split()[0]
    return kind if _REMOTE.fullmatch(kind) else None
