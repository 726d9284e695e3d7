"""`dermq watch`: follow a job that runs already."""

from __future__ import annotations

import typer

from cli.options import Common, JobArgument, StrictOption, with_common_options


@with_common_options
def watch(job: JobArgument, *, strict: StrictOption = False, common: Common) -> None:
    """Follow a job until it ends, then show its summary. Ctrl-C leaves the job running."""
    from cli.http.jobreference import find_job
    from cli.http.jobview import JobView, exit_code
    from cli.output.progress import follow, open_view
    from cli.output.summary import print_summary
    from cli.output.terminal import open_err, open_out, print_json
    from cli.service import connect

    service = connect(common.target)
    with service.client as client:
        job = find_job(client, job)
        try:
            with open_view() as view:
                ended = follow(client, JobView(client.job(job)), view)
        except KeyboardInterrupt:
            open_err().print(
                f"Job {job} goes on without you; to come back: dermq watch {job}{service.how_to_reach}", soft_wrap=True
            )
            raise
        if common.json:
            print_json(ended.raw)
        elif not common.quiet:
            print_summary(open_out(), client, ended)
            open_err().print(
                f"To fetch the results: dermq results {job} --out results.csv{service.how_to_reach}", soft_wrap=True
            )
    raise typer.Exit(exit_code(ended, strict=strict))
