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
    timeout: TimeoutOption = 120.0,
    by: ByOption = None,
    json: JsonOption = False,
    serving: ServingOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Load a version, ask it its golden batch, then put a label on it. On any failure everything stays as it was.

    New jobs that ask for the label get this version; jobs that run stay on theirs.
    """
    from cli.models.operator import open_rollout
    from cli.models.rollout_result import show_moved
    from cli.output.spinner import StackStatus

    with StackStatus() as status, open_rollout(data_dir, serving, by, timeout, status.progress) as rollout:
        moved = rollout.promote(name, version, label)
    show_moved(moved, as_json=json)
