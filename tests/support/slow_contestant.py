"""A contestant of benchmarks.bench that is made up: it answers so many rounds, and hangs in the one after them.

With "ends" as its second argument, the process ends there instead.
"""

from __future__ import annotations

import sys
import time

from benchmarks.peers.contestant import serve


def main() -> None:
    """Serve rounds of 100 images, each of 0.05 s of CPU time."""
    left, ends = int(sys.argv[3]), sys.argv[4:] == ["ends"]

    def take_round() -> float:
        nonlocal left
        if not left:
            if ends:
                sys.exit(3)
            time.sleep(600)
        left -= 1
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        return 0.05

    serve(100, take_round)


if __name__ == "__main__":
    main()
