"""`make fuzz`: a fixed time of seeded inputs against other readers; ends with 1 and the first inputs found wrong.

python -m tests.fuzz --seconds 120 --seed 1 [archives ...]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.archives import archive_targets
from tests.fuzz.findings import Finding

# name → a function that draws one input with the given chance and returns what is wrong with the answer (nothing, as a rule).
Target = Callable[[random.Random], list[Finding]]
TARGETS: dict[str, Callable[[], dict[str, Target]]] = {
    "archives": archive_targets,
    # A picture's decoder joins here: "pictures": picture_targets.
}
_SHOWN = 20


def run(targets: dict[str, Target], seconds: float, seed: int) -> tuple[dict[str, int], list[Finding]]:
    """Draw inputs in turn until the time is over; the n-th input of a target depends on the seed and on n alone."""
    counts = dict.fromkeys(targets, 0)
    findings: list[Finding] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(findings) < _SHOWN:
        for name, target in targets.items():
            findings += target(random.Random(f"{seed}/{name}/{counts[name]}"))
            counts[name] += 1
    return counts, findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for the inputs found wrong")
    parser.add_argument("groups", nargs="*", help=f"which of {', '.join(TARGETS)}; all by default")
    arguments = parser.parse_args()
    targets = {name: target for group in arguments.groups or TARGETS for name, target in TARGETS[group]().items()}
    counts, findings = run(targets, arguments.seconds, arguments.seed)
    for name, count in counts.items():
        sys.stdout.write(f"{name:24} {count:8,} inputs\n")
    for number, finding in enumerate(findings):
        arguments.keep.mkdir(parents=True, exist_ok=True)
        path = arguments.keep / f"{arguments.seed}-{number}-{finding.kind.replace(' ', '-')}"
        path.write_bytes(finding.data)
        sys.stdout.write(f"{finding.target}: {finding.kind}: {finding.text}  ({path})\n")
    sys.stdout.write(f"{sum(counts.values()):,} inputs, {len(findings)} found wrong (seed {arguments.seed})\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
