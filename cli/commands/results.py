"""`dermq results|errors`: fetch what a job has found, also while it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Common, ExcelOption, FormatOption, JobArgument, OutOption, ResultFormat, Sort, with_common_options


@with_common_options
def results(
    job: JobArgument,
    *,
    out: OutOption = None,
    format: FormatOption = None,
    label: Annotated[str | None, typer.Option("--label", metavar="L", help="Only items with this predicted class.")] = None,
    min_risk: Annotated[
        float | None, typer.Option("--min-risk", min=0, max=1, help="Only items of at least this risk.")
    ] = None,
    note: Annotated[
        str | None, typer.Option("--note", metavar="N", help="Only items with this note, for example low_resolution.")
    ] = None,
    min_novelty: Annotated[
        float | None,
        typer.Option(
            "--min-novelty", metavar="X", help="Only items of at least this novelty; above 1, as a rule, they are noted."
        ),
    ] = None,
    excel: ExcelOption = False,
    sort: Annotated[Sort | None, typer.Option("--sort", help="Order. Default: as in the archive.")] = None,
    common: Common,
) -> None:
    """Fetch results: into --out FILE, else to standard output (CSV, or JSON lines with --json)."""
    from cli.http.jobreference import find_job
    from cli.output.outfile import choose_out
    from cli.output.replacing import STDOUT
    from cli.output.terminal import open_err
    from cli.service import connect

    filters: dict[str, str | int | float] = {}
    asked = {
        "label": label,
        "min_risk": min_risk,
        "note": note,
        "min_novelty": min_novelty,
        "sort": sort.value if sort else None,
    }
    for key, value in asked.items():
        if value is not None:
            filters[key] = value
    target = choose_out(
        out or STDOUT, format or (ResultFormat.JSONL if common.json and out in (None, STDOUT) else None), excel=excel
    )
    with connect(common.target).client as client:
        client.save_results(find_job(client, job), target.format.value, target.path, {**filters, **target.parameters})
    if not target.is_stdout:
        open_err().print(f"Results: {target}", soft_wrap=True)


@with_common_options
def errors(
    job: JobArgument, *, limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 100, common: Common
) -> None:
    """List the items that have no result, and why."""
    from cli.http.jobreference import find_job
    from cli.http.jobview import JobView
    from cli.output.summary import make_table
    from cli.output.terminal import open_err, open_out, print_json
    from cli.service import connect

    with connect(common.target).client as client:
        view = JobView(client.job(find_job(client, job)))
        rows = list(client.rows(f"/v1/jobs/{view.id}/errors", limit))
    if common.json:
        print_json(rows)
        return
    if not rows:
        open_err().print("No item has failed.")
        return
    table = make_table("Item", "Name", "Code", "Reason", right=(0,))
    for row in rows:
        table.add_row(str(row["item"]), str(row["name"]), str(row["code"]), str(row["message"]))
    open_out().print(table)
    if view.failed > len(rows):
        open_err().print(f"{len(rows)} of {view.failed} shown; --limit shows more.")
