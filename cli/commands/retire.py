"""`dermq retire`: unload a version that nobody needs."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.models.operator import ByOption, ModelArgument, ServingOption, TimeoutOption, VersionArgument
from cli.options import DataDirOption, JsonOption

_WAIT_S = 7 * 24 * 3600.0


def retire(
    name: ModelArgument,
    version: VersionArgument,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the jobs that are pinned to it, instead of refusing.")] = False,
    timeout: TimeoutOption = 120.0,
    by: ByOption = None,
    json: JsonOption = False,
    serving: ServingOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Unload a version; its files stay. Refused while it bears a label, or while a job that has not ended is pinned to it."""
    from cli.models.operator import open_rollout
    from cli.models.rollout_result import show_moved
    from cli.output.spinner import StackStatus

    with StackStatus() as status, open_rollout(data_dir, serving, by, timeout, status.progress) as rollout:
        moved = rollout.retire(name, version, wait_s=_WAIT_S if wait else 0.0)
    show_moved(moved, as_json=json)
