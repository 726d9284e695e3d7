"""Runs a command that the kernel ends when its parent dies (prctl(2), PR_SET_PDEATHSIG), so that a killed `dermq up` takes its
processes along at once. Where there is no prctl the command runs without that signal, and the next start reaps what is left.

Usage: python -S -E parent_death.py PARENT_PID COMMAND [ARGUMENT…]
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent and become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:  # it died before the tie was made
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606  # an argument list, no shell; the setting survives an exec


if __name__ == "__main__":
    main()
