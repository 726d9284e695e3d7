"""Restore a backup into an empty stack: check its sums, fill ledger, models and objects, migrate, start.

Jobs that ran when the backup was made go on: what the ledger has rows for is not run again, the rest is. Nothing has to be
known of the workers of that time; their leases are ended. Redis may be empty: the sweeper sends the messages anew.

A stack that holds anything is refused. To restore beside it, choose another project (COMPOSE_PROJECT_NAME), another
DERMQ_DATA_DIR or another database; to replace it, remove it first: docker compose down --volumes.
"""

from __future__ import annotations

import argparse
import sys
import tarfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import manifest
from stacks import DIRECT_HELP, ComposeStack, DirectStack, OperationError, Stack, jobs_by_state, revision

_IDS = {"jobs": "SELECT id FROM jobs", "uploads": "SELECT id FROM uploads"}


def restore(stack: Stack, folder: Path, content: dict[str, Any], *, start: bool) -> None:
    """Fill an empty stack from a backup that was found to be whole."""
    if content["database"] != stack.kind:
        raise OperationError(f"{folder} holds a {content['database']} ledger, and this stack has {stack.kind}")
    stack.prepare()
    found = stack.contents()
    if found:
        raise OperationError(f"the stack is not empty, and nothing was changed: {', '.join(found)}. See --help")
    lacking = [name for name in stack.folders() if f"{name}.tar" not in content["files"]]
    if lacking:
        raise OperationError(f"{folder} holds no {', '.join(lacking)}: its manifest says what was elsewhere when it was made")
    # Objects before rows, so that nothing that starts too early finds a row without its object.
    for name in stack.folders():
        _step(name, partial(stack.unpack, name, folder / f"{name}.tar"))
    _step("ledger", partial(stack.load_ledger, folder / "ledger.dump"))
    _step("migration", stack.ready_ledger)
    manifest.say(f"ledger: revision {content['revision']} in the backup, {revision(stack)} now; {jobs_by_state(stack)}")
    if "objects" in stack.folders():
        unknown = _unknown_objects(stack, folder / "objects.tar")
        manifest.say(f"objects that are newer than the ledger's snapshot, and that nobody knows: {len(unknown)}")
    if start:
        _step("start", stack.start)


def _unknown_objects(stack: Stack, packed: Path) -> list[str]:
    """Objects of the backup that belong to no upload and no job of the ledger."""
    known = {f"{table}/{row[0].replace('-', '')}" for table in ("jobs", "uploads") for row in stack.query(_IDS[table])}
    with tarfile.open(packed) as tar:
        names = [member.name.removeprefix("./") for member in tar if member.isfile()]
    return [name for name in names if "/".join(name.split("/")[:2]).replace("-", "") not in known]


def _step(what: str, act: Callable[[], None]) -> None:
    began = time.monotonic()
    act()
    manifest.say(f"{what}: done in {time.monotonic() - began:.1f} s")


def main() -> int:
    parser = argparse.ArgumentParser(prog="restore", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a folder that `backup` wrote")
    parser.add_argument("--check", action="store_true", help="check the sums, and restore nothing")
    parser.add_argument("--no-start", action="store_true", help="leave the services down: look at the data first")
    parser.add_argument("--direct", action="store_true", help=DIRECT_HELP)
    arguments = parser.parse_args()
    try:
        folder = arguments.folder.absolute()
        content = manifest.read_checked(folder)
        manifest.say(f"{folder.name}: whole, {manifest.megabytes(content['files'].values())}, made {content['made_at']}")
        if not arguments.check:
            stack = DirectStack() if arguments.direct else ComposeStack()
            restore(stack, folder, content, start=not arguments.no_start)
    except OperationError as error:
        manifest.say(f"restore stopped: {error}")
        return 1
    manifest.say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
