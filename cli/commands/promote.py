"""`dermq promote`: put a label on a version, once it has proved itself."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.models.operator import ByOption, ModelArgument, ServingOption, TimeoutOption, VersionArgument
from cli.options import DataDirOption, JsonOption


def promote(
    name: ModelArgument,
    version: VersionArgument,
    *,
    label: Annotated[str, typer.Option("--label", metavar="L", help="stable, canary, or another label.")] = "stable",
    force: Annotated[bool, typer.Option("--force", help="Also if its figures are worse, or if it has none.")] = False,
    timeout: TimeoutOption = 120.0,
    by: ByOption = None,
    json: JsonOption = False,
    serving: ServingOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Load a version, ask it its golden batch, then put a label on it. On any failure everything stays as it was.

    New jobs that ask for the label get this version; jobs that run stay on theirs. A version whose figures are worse than those
    of the version it replaces, or than those of the majority class, does not become stable without --force.
    """
    from cli.models.operator import open_rollout
    from cli.models.rollout_result import show_moved, show_next
    from cli.output.spinner import StackStatus

    with StackStatus() as status, open_rollout(data_dir, serving, by, timeout, status.progress) as rollout:
        moved = rollout.promote(name, version, label, force=force)
    show_moved(moved, as_json=json)
    if not json:
        show_next(moved)
