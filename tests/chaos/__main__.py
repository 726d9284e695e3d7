"""`make chaos`: ends with 1, and with what was found, unless nothing was lost, doubled, wrong, stuck or left behind.

python -m tests.chaos --kills 60 --seed 1 --jobs 4 --db postgres --kinds kill,freeze
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.chaos.faults import KINDS
from tests.chaos.run import run_chaos
from tests.support.tiny_model import export_tiny_model_apart

BAD = ("lost", "doubled", "wrong", "stuck", "leaked_objects", "leaked_rows")


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(text.split(","))
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(KINDS)}, got {', '.join(map(repr, unknown))}")
    return kinds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="how many faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=4, help="how many jobs at a time")
    parser.add_argument("--db", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--kinds", type=_kinds, default=KINDS, help=f"only these faults, between commas: {','.join(KINDS)}")
    parser.add_argument("--keep", type=Path, help="a new folder for all files of the run; default: a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dermq-chaos-", ignore_cleanup_errors=True) as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        models = folder / "models" / "tiny"
        export_tiny_model_apart(models, 1)
        found = run_chaos(
            folder,
            models,
            kills=arguments.kills,
            seed=arguments.seed,
            jobs=arguments.jobs,
            postgres=arguments.db == "postgres",
            kinds=arguments.kinds,
        )
    for note in found.pop("notes"):
        sys.stdout.write(f"{note}\n")
    sys.stdout.write(json.dumps(found) + "\n")
    return 1 if any(found[kind] for kind in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
