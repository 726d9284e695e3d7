"""`dermq up`: the one-machine stack, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import DataDirOption, JsonOption

if TYPE_CHECKING:
    from cli.stack.stack import Stack


def up(
    *,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port of the API. Default: 8080, or a free one.")
    ] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option("--root", help="A folder whose files jobs may name instead of uploading them; may be repeated."),
    ] = None,
    canary_percent: Annotated[
        float | None,
        typer.Option("--canary-percent", min=0, max=100, help="Share of new jobs for the label canary. Default: 0."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the output of all processes.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Come back when it is ready, and leave it running; `dermq down` stops it.")
    ] = False,
    json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Run DermQ on this machine: queue, model server, workers and API, until Ctrl-C.

    Everything it keeps is in one data folder. A process that dies is started again; Ctrl-C stops all in order.
    --json goes with --detach.
    """
    if detach:
        _detach(data_dir, as_json=json, options=_given(port, root, canary_percent, data_dir, verbose=verbose))
        return
    if json:
        raise typer.BadParameter("--json goes with --detach: without it `dermq up` ends with Ctrl-C alone")
    from cli.output.spinner import StackStatus
    from cli.output.terminal import open_out
    from cli.service import terminating_gently
    from cli.stack.environment import Sources
    from cli.stack.folder import DataFolder
    from cli.stack.stack import Stack, StackOptions

    folder = DataFolder.at(data_dir)
    options = StackOptions(
        sources=Sources(tuple(root or ())), port=port, canary_percent=canary_percent, watched=verbose, tells_stop=True
    )
    with StackStatus() as status, terminating_gently():
        try:
            with Stack(folder, options, note=status.note, progress=status.progress) as stack:
                status.done(f"ready, data and logs in {folder.root}")
                open_out().print(f"DermQ is up: {stack.url}", soft_wrap=True)
                status.note("To screen images: dermq screen PATH. To stop: Ctrl-C.")
                wait_for_end(stack)
        except KeyboardInterrupt:
            status.note("stopped; jobs and results are kept")


def _given(
    port: int | None, root: list[Path] | None, canary_percent: float | None, data_dir: Path | None, *, verbose: bool
) -> list[str]:
    """The options again, for the process that stays."""
    arguments = ["--verbose"] if verbose else []
    arguments += [f"--port={port}"] if port is not None else []
    arguments += [f"--root={path.resolve()}" for path in root or ()]
    arguments += [f"--canary-percent={canary_percent}"] if canary_percent is not None else []
    return arguments + ([f"--data-dir={data_dir.resolve()}"] if data_dir is not None else [])


def _detach(data_dir: Path | None, *, as_json: bool, options: list[str]) -> None:
    from cli.output.terminal import open_err, open_out, print_json
    from cli.stack.detaching import LOG, start_detached
    from cli.stack.folder import DataFolder

    folder = DataFolder.at(data_dir)
    with folder.faults_named("written"):
        holder, is_new = start_detached(folder, options)
    if as_json:
        print_json({"object": "stack", "url": holder.url, "pid": holder.pid, "data_dir": str(folder.root), "started": is_new})
        return
    open_out().print(f"DermQ is up: {holder.url}", soft_wrap=True)
    what = f"Its log is {folder.log(LOG)}" if is_new else f"It ran already, as process {holder.pid}"
    open_err().print(f"{what}. To screen images: dermq screen PATH. To stop: dermq down.", soft_wrap=True)


def wait_for_end(stack: Stack) -> None:
    """Wait for Ctrl-C (KeyboardInterrupt) or for a part that cannot be kept running (CliError)."""
    while True:
        stack.await_failure(timeout_s=1.0)
