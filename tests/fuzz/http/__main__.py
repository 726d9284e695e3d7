"""A longer run: `python -m tests.fuzz.http --examples 100`; ends with 1 if anything was found."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.fuzz.http.caller import PHASES, running_callers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("callers", nargs="*", default=["north", "south", "nobody"])
    arguments = parser.parse_args()
    worst = 0
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        callers = exits.enter_context(running_callers(folder))
        for who in arguments.callers:
            began = time.monotonic()
            done = callers.run(who, examples=arguments.examples, seed=arguments.seed, phases=arguments.phases.split(","))
            sys.stdout.write(
                f"{done.stdout}{done.stderr}\n{who}: {time.monotonic() - began:.0f} s, ended with {done.returncode}\n"
            )
            worst = max(worst, done.returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
