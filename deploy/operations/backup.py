"""Back up DermQ while it runs: the ledger first, then models and objects, into a new folder below TARGET.

The order matters. What the ledger's snapshot names is there when objects are copied afterwards: an upload is stored before its
job is committed, and removed after its rows. Objects that are newer than the snapshot do no harm (nobody knows them, `restore`
says how many there are); rows without their objects would. Only a job that had ended, and was deleted during the backup, comes
back without its archive: its results are whole, it can just not be retried.

Redis is not backed up: it holds wake-up messages only, and the sweeper sends those again.
Secrets are not backed up: keep them where you keep secrets.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import manifest
from stacks import DIRECT_HELP, ComposeStack, DirectStack, OperationError, Stack, jobs_by_state, revision


def back_up(stack: Stack, target: Path) -> Path:
    """Write a backup; it has its name only once it is whole and on the disk."""
    started = datetime.now(UTC)
    finished = target / f"dermq-{started:%Y%m%dT%H%M%SZ}"
    unfinished = finished.with_name(f"{finished.name}.partial")
    os.umask(0o077)  # images of patients, and what a model said about them
    unfinished.mkdir(parents=True)
    try:
        _write(stack, unfinished, started)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    unfinished.rename(finished)
    handle = os.open(target, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    return finished


def _write(stack: Stack, folder: Path, started: datetime) -> None:
    before = revision(stack)
    manifest.say(f"ledger: revision {before}, {jobs_by_state(stack)}")
    files = {"ledger.dump": _step("ledger", folder / "ledger.dump", stack.dump_ledger)}
    for name in sorted(stack.folders(), key=lambda name: name == "objects"):  # objects last, they are the largest
        files[f"{name}.tar"] = _step(name, folder / f"{name}.tar", partial(stack.pack, name))
    if revision(stack) != before:
        raise OperationError("the ledger was migrated during the backup: run it again")
    missing = ["redis", "secrets"]
    if "objects" not in stack.folders():
        missing.append(f"objects, which are in {stack.facts()['storage']}")
    manifest.write(
        folder,
        {
            "made_at": started.isoformat(timespec="seconds"),
            "database": stack.kind,
            "revision": before,
            **stack.facts(),
            "files": files,
            "not_included": missing,
        },
    )
    manifest.say(f"not included: {', '.join(missing)}")


def _step(what: str, path: Path, write: Callable[[Path], None]) -> dict[str, Any]:
    began = time.monotonic()
    write(path)
    described = manifest.describe(path)
    manifest.say(f"{what}: {path.name}, {manifest.megabytes([described])}, {time.monotonic() - began:.1f} s")
    return described


def main() -> int:
    parser = argparse.ArgumentParser(prog="backup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", metavar="TARGET", type=Path, help="folder that backups are kept in, on another disk")
    parser.add_argument("--direct", action="store_true", help=DIRECT_HELP)
    arguments = parser.parse_args()
    try:
        done = back_up(DirectStack() if arguments.direct else ComposeStack(), arguments.target.absolute())
    except OperationError as error:
        manifest.say(f"backup failed, nothing was kept: {error}")
        return 1
    manifest.say("done; the path is on stdout")
    sys.stdout.write(f"{done}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
