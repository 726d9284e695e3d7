"""`dermq screen`: from images to a table of results, in one command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.options import (
    Common,
    ExcelOption,
    FormatOption,
    LabelOption,
    ModelOption,
    OutOption,
    PathColumnOption,
    PathsArgument,
    StrictOption,
    TagOption,
    VersionOption,
    with_common_options,
)

if TYPE_CHECKING:
    from rich.console import Console

    from cli.http.client import JobRequest
    from cli.http.jobview import JobView
    from cli.http.submission import Source
    from cli.output.outfile import OutFile
    from cli.service import Service


@with_common_options
def screen(
    paths: PathsArgument,
    *,
    model: ModelOption = None,
    label: LabelOption = None,
    version: VersionOption = None,
    tag: TagOption = None,
    path_column: PathColumnOption = None,
    out: OutOption = None,
    format: FormatOption = None,
    strict: StrictOption = False,
    excel: ExcelOption = False,
    common: Common,
) -> None:
    """Screen images: submit, watch, show a summary, write the results.

    Uses the server you name, or the stack that runs on this machine; without one, a stack runs for as long as it takes.
    Results go to results.csv, or to --out FILE (.csv, .jsonl, .parquet). What is there stays until they are complete.
    """
    from cli.http.client import JobRequest
    from cli.http.inputs import reading_sources
    from cli.http.jobview import exit_code
    from cli.http.submission import check_choice
    from cli.output.outfile import choose_out, refuse_two_on_stdout
    from cli.output.terminal import open_err, open_out, print_json
    from cli.service import open_service
    from cli.stack.stack import StackOptions

    check_choice(label, version)
    target_file = choose_out(out, format, excel=excel)
    refuse_two_on_stdout(target_file, json=common.json)
    with reading_sources(paths) as source, open_service(common.target, StackOptions(sources=source.needed)) as service:
        request = JobRequest(model=model, label=label, version=version, path_column=path_column, tags=tag or None)
        job = run_job(service, source, request)
        wrote = save_results(service, job, target_file)
        if common.json:
            print_json(job.raw)
        if not common.quiet:
            show_end(service, job, console=open_err() if common.json or target_file.is_stdout else open_out(), wrote=wrote)
    raise typer.Exit(exit_code(job, strict=strict))


def run_job(service: Service, source: Source, request: JobRequest) -> JobView:
    """Submit and follow. Ctrl-C stops the following, never the job, and says how to come back to it."""
    from cli.http.submission import submit_source
    from cli.output.progress import follow, open_view
    from cli.output.terminal import open_err

    job: JobView | None = None
    try:
        with open_view() as view:
            job = submit_source(service, source, request, view)
            return follow(service.client, job, view)
    except KeyboardInterrupt:
        console = open_err()
        if job is None:
            console.print("Interrupted while the job was being submitted; `dermq jobs` tells whether it arrived.")
        elif service.is_own:
            console.print(f"Interrupted. Job {job.id} is kept; to go on with it:", soft_wrap=True)
            back = service.how_to_reach
            console.print(f"  dermq up{back}\n  dermq watch {job.id}{back}", soft_wrap=True)
        else:
            console.print(
                f"Job {job.id} goes on without you; to come back: dermq watch {job.id}{service.how_to_reach}", soft_wrap=True
            )
        raise


def save_results(service: Service, job: JobView, target: OutFile) -> str:
    """Write the results, and say where they are. A job that failed never takes the place of a file that is there.

    Returns:
        What stands behind "Results:".
    """
    is_there = not target.is_stdout and target.path.exists()
    if job.state == "succeeded" or (job.finished_items and not is_there):
        service.client.save_results(job.id, target.format.value, target.path, target.parameters)
        return str(target)
    kept = f"{target} is as it was" if is_there else "nothing is written"
    if not job.finished_items:
        return f"none; {kept}"
    back = service.how_to_reach
    return f"{kept}, as the job {job.state}; to fetch its {job.finished_items} rows: dermq results {job.id} --out FILE{back}"


def show_end(service: Service, job: JobView, *, console: Console, wrote: str) -> None:
    """The summary, and where the results are."""
    from cli.output.summary import print_summary

    print_summary(console, service.client, job)
    console.print(f"Results: {wrote}", soft_wrap=True)
