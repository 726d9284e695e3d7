"""`dermq doctor`: is everything in order, and if not, what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Common, with_common_options


@with_common_options
def doctor(
    *,
    storage: Annotated[
        bool, typer.Option("--storage", help="Say, too, whether the storage holds what no job knows of.")
    ] = False,
    common: Common,
) -> None:
    """Check this machine and the server, and say what to do about what is wrong."""
    from cli.doctor.checks import run_checks
    from cli.doctor.findings import Grade
    from cli.output.exit_codes import ExitCode
    from cli.output.terminal import open_out, print_json

    styles = {Grade.OK: "green", Grade.WARN: "yellow", Grade.FAIL: "bold red"}
    console = open_out()
    findings = []
    for finding in run_checks(common.target, storage=storage):
        findings.append(finding)
        if not common.json:
            console.print(f"{finding.grade.value:<5}", style=styles[finding.grade], end="")
            console.print(f"{finding.name:<12} {finding.detail}", soft_wrap=True)
            if finding.advice:
                console.print(f"{'':<17} {finding.advice}", style="dim", soft_wrap=True)
    if common.json:
        print_json([finding.as_json() for finding in findings])
    failed = any(finding.grade is Grade.FAIL for finding in findings)
    raise typer.Exit(ExitCode.JOB_FAILED if failed else ExitCode.OK)
