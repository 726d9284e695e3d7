"""`dermq screen`: from images to a table of results, in one command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import (
    Common,
    FormatOption,
    LabelOption,
    ModelOption,
    OutOption,
    PathColumnOption,
    StrictOption,
    VersionOption,
    with_common_options,
)

if TYPE_CHECKING:
    from rich.console import Console

    from cli.http.client import JobRequest
    from cli.http.jobview import JobView
    from cli.http.submission import Source
    from cli.service import Service


@with_common_options
def screen(
    path: Annotated[
        str, typer.Argument(metavar="PATH|s3://…", help="A folder, an archive, an image, a table of images, or an S3 prefix.")
    ],
    *,
    model: ModelOption = None,
    label: LabelOption = None,
    version: VersionOption = None,
    path_column: PathColumnOption = None,
    out: OutOption = None,
    format: FormatOption = None,
    strict: StrictOption = False,
    common: Common,
) -> None:
    """Screen images: submit, watch, show a summary, write the results.

    Uses the server you name, or the stack that runs on this machine; without one, a stack runs for as long as it takes.
    Results go to results.csv, or to --out FILE (.csv, .jsonl, .parquet).
    """
    from cli.http.client import JobRequest
    from cli.http.jobview import exit_code
    from cli.http.submission import check_choice, read_source
    from cli.output.outfile import choose_out
    from cli.output.terminal import open_err, open_out, print_json
    from cli.service import open_service
    from cli.stack.stack import StackOptions

    check_choice(label, version)
    target_file = choose_out(out, format)
    source = read_source(path)
    options = StackOptions(sources=source.needed)
    with open_service(common.target, options) as service:
        job = run_job(service, source, JobRequest(model=model, label=label, version=version, path_column=path_column))
        service.client.save_results(job.id, target_file.format.value, target_file.path)
        if common.json:
            print_json(job.raw)
        show_end(service, job, console=open_err() if common.json else open_out(), wrote=str(target_file.path))
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


def show_end(service: Service, job: JobView, *, console: Console, wrote: str) -> None:
    """The summary, and where the results are."""
    from cli.output.summary import print_summary

    print_summary(console, service.client, job)
    console.print(f"Results: {wrote}", soft_wrap=True)
