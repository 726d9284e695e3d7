"""`dermq submit`: hand images in and leave."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli.options import (
    Common,
    LabelOption,
    ModelOption,
    PathColumnOption,
    PathsArgument,
    TagOption,
    VersionOption,
    with_common_options,
)


class Priority(StrEnum):
    """How much of the workers a job may have at a time."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


@with_common_options
def submit(
    paths: PathsArgument,
    *,
    model: ModelOption = None,
    label: LabelOption = None,
    version: VersionOption = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the job. Default: that of the file or folder.")] = None,
    priority: Annotated[Priority | None, typer.Option("--priority", help="Default: normal.")] = None,
    error_budget: Annotated[
        float | None,
        typer.Option("--error-budget", min=0, max=1, help="Fail the job once this share of items has failed. Default: never."),
    ] = None,
    tag: TagOption = None,
    path_column: PathColumnOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="A new job, even where the same images were submitted in the same way before.")
    ] = False,
    common: Common,
) -> None:
    """Submit images and print the job's id, without waiting for results.

    The same images with the same options are the same job: its id is printed again, and nothing runs twice.
    """
    from cli.http.client import JobRequest
    from cli.http.inputs import reading_sources
    from cli.http.submission import check_choice, submit_source
    from cli.output.progress import open_view
    from cli.output.terminal import open_err, print_json
    from cli.service import connect
    from core.formats import format_duration

    check_choice(label, version)
    request = JobRequest(
        model, label, version, name, priority.value if priority else None, error_budget, path_column, tag or None
    )
    service = connect(common.target)
    with reading_sources(paths) as source, service.client, open_view() as view:
        job = submit_source(service, source, request, view, once=not again)
    if common.json:
        print_json(job.raw)
        return
    typer.echo(job.id)
    if service.client.replayed:
        open_err().print(f"The same as before: {job.name} is {job.state}. For another job: --again", soft_wrap=True)
        return
    open_err().print(f"Submitted {job.name}; to follow it: dermq watch {job.id}{service.how_to_reach}", soft_wrap=True)
    queue_s = job.raw.get("queue_s")
    if isinstance(queue_s, int | float):
        open_err().print(f"The queue is long: about {format_duration(queue_s)} of work waits for the workers.", soft_wrap=True)
