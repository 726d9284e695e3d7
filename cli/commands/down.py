"""`dermq down`: stop the stack that runs on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import DataDirOption, JsonOption


def down(
    timeout: Annotated[float, typer.Option("--timeout", metavar="S", min=0, help="Seconds to wait for its end.")] = 60.0,
    json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Stop the stack of this machine, as Ctrl-C does: in order. Jobs and results are kept."""
    from cli.output.terminal import open_err, print_json
    from cli.stack.folder import DataFolder
    from cli.stack.stopping import stop_stack

    folder = DataFolder.at(data_dir)
    with folder.faults_named("read"):
        pid = stop_stack(folder, timeout)
    if json:
        print_json({"object": "stack", "data_dir": str(folder.root), "stopped": pid is not None, "pid": pid})
    elif pid is None:
        open_err().print(f"No stack runs on {folder.root}.", soft_wrap=True)
    else:
        open_err().print(f"Stopped; jobs and results are kept in {folder.root}.", soft_wrap=True)
