"""`dermq rollback`: the label goes back to where it was."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.models.operator import ByOption, ModelArgument, ServingOption, TimeoutOption
from cli.options import DataDirOption, JsonOption


def rollback(
    name: ModelArgument,
    *,
    label: Annotated[str, typer.Option("--label", metavar="L", help="Which label goes back.")] = "stable",
    timeout: TimeoutOption = 120.0,
    by: ByOption = None,
    json: JsonOption = False,
    serving: ServingOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Put a label back on the version that bore it before the last promotion; once more goes one further back."""
    from cli.models.operator import open_rollout
    from cli.models.rollout_result import show_moved
    from cli.output.spinner import StackStatus

    with StackStatus() as status, open_rollout(data_dir, serving, by, timeout, status.progress) as rollout:
        moved = rollout.rollback(name, label)
    show_moved(moved, as_json=json)
