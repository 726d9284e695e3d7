"""One stack per data folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli.output.exit_codes import CliError, ExitCode
from cli.stack.lock import FolderLock, find_holder

HOLD = """
import sys, time
from pathlib import Path
from cli.stack.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.acquire()
lock.publish("http://127.0.0.1:1234")
print("held", flush=True)
time.sleep(60)
"""


def test_the_second_is_told_who_holds_it_and_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert find_holder(path) is None
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(CliError, match=rf"process {holder.pid} at http://127\.0\.0\.1:1234") as caught:
            FolderLock(path).acquire()
        assert caught.value.code == ExitCode.CONFLICT
        found = find_holder(path)
        assert found is not None
        assert (found.pid, found.url) == (holder.pid, "http://127.0.0.1:1234")
        holder.kill()
        holder.wait()
    assert find_holder(path) is None
    lock = FolderLock(path)
    lock.acquire()
    lock.release()


def test_release_lets_the_next_in(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / "lock"), FolderLock(tmp_path / "lock")
    first.acquire()
    with pytest.raises(CliError, match="still starting"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_publishing_needs_the_lock(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="call acquire"):
        FolderLock(tmp_path / "lock").publish("http://x")
