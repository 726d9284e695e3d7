"""`dermq logs`: what the processes of the stack on this machine have said."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import DataDirOption, JsonOption


def logs(
    part: Annotated[
        str | None, typer.Argument(metavar="[PART]", help="api, worker, beat, serving, valkey or up. Default: all.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines of each.")] = 15,
    json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Show the last lines of this run's logs, of each process or of one."""
    from cli.output.exit_codes import CliError, ExitCode
    from cli.output.terminal import open_err, print_json
    from cli.stack.folder import DataFolder
    from cli.stack.logfiles import read_tail

    folder = DataFolder.at(data_dir)
    with folder.faults_named("read"):
        there = sorted(path.stem for path in folder.log("").parent.glob("*.log"))
    if part is not None and part not in there:
        raise CliError(
            f"no log of {part!r} in {folder.log('').parent}: there are {', '.join(there) or 'none'}",
            ExitCode.NOT_FOUND,
            "`dermq up` starts the processes that write them.",
        )
    found = {name: read_tail(folder.log(name), lines) for name in ([part] if part else there)}
    if json:
        print_json(found)
        return
    if not found:
        open_err().print(f"No logs in {folder.log('').parent} yet.", soft_wrap=True)
    for name, said in found.items():
        if part is None:
            open_err().print(f"{name} ({folder.log(name)}):", style="bold", soft_wrap=True)
        for line in said:
            typer.echo(line)
