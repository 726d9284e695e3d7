"""Ends a stack from outside: the signal to its `dermq up`, then patience until the data folder is free."""

from __future__ import annotations

import os
import signal
import time

from cli.output.exit_codes import CliError, ExitCode
from cli.stack.folder import DataFolder
from cli.stack.lock import find_holder

_POLL_S = 0.1


def stop_stack(folder: DataFolder, timeout_s: float) -> int | None:
    """Stop the stack of a data folder.

    Returns:
        The process that ran it; None: none did.

    Raises:
        CliError: it is another user's, or it has not ended in time.
    """
    holder = find_holder(folder.lock)
    if holder is None:
        return None
    if holder.pid <= 0:
        raise CliError(f"the stack on {folder.root} is just starting", ExitCode.CONFLICT, "Try again in a second.")
    try:
        os.kill(holder.pid, signal.SIGTERM)
    except ProcessLookupError:
        return None  # it has ended by itself meanwhile
    except PermissionError as error:
        raise CliError(
            f"process {holder.pid}, which runs the stack on {folder.root}, is another user's", ExitCode.CONFLICT
        ) from error
    deadline = time.monotonic() + timeout_s
    while (present := find_holder(folder.lock)) is not None and present.pid == holder.pid:
        if time.monotonic() >= deadline:
            raise CliError(
                f"process {holder.pid}, which runs the stack on {folder.root}, has not ended within {timeout_s:g} s",
                ExitCode.CONFLICT,
                f"Wait with --timeout, look into {folder.log('api').parent}, or end it with `kill -9 {holder.pid}`.",
            )
        time.sleep(_POLL_S)
    return holder.pid
