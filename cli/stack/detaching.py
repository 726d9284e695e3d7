"""`dermq up` in the background: a process of its own session, whose output goes into a log of the data folder."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from cli.output.exit_codes import CliError, ExitCode
from cli.stack.folder import DataFolder
from cli.stack.lock import Holder, find_holder
from cli.stack.logfiles import open_run, read_tail
from core.childprocess import python_environment

LOG = "up"
_READY_S = 300.0
_POLL_S = 0.1


def start_detached(folder: DataFolder, arguments: Sequence[str]) -> tuple[Holder, bool]:
    """Start `dermq up` and wait until its API answers; a stack that runs already is that one.

    Args:
        folder: the data folder.
        arguments: of `dermq up`, without --detach.

    Returns:
        Who runs it, with its URL; and whether it was started now.

    Raises:
        CliError: it has ended, or is not ready in time; the message has the last lines of its log.
    """
    holder = find_holder(folder.lock)
    if holder is not None and holder.url:
        return holder, False
    folder.create()
    process = _spawn(folder, arguments)
    deadline = time.monotonic() + _READY_S
    while True:
        holder = find_holder(folder.lock)
        if holder is not None and holder.pid == process.pid and holder.url:
            return holder, True
        if process.poll() is not None or time.monotonic() >= deadline:
            raise _failed(folder, process.poll())
        time.sleep(_POLL_S)


def _spawn(folder: DataFolder, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    log = folder.log(LOG)
    open_run(log)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "cli", "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=python_environment(),
            start_new_session=True,
        )


def _failed(folder: DataFolder, code: int | None) -> CliError:
    what = f"has not become ready within {_READY_S:g} s" if code is None else f"ended with {code}"
    said = "\n".join(read_tail(folder.log(LOG)))
    return CliError(f"`dermq up` {what}: {said or 'it said nothing'}", ExitCode.JOB_FAILED, f"Its log: {folder.log(LOG)}")
