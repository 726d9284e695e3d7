"""`dermq compare`: two versions of a model on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Common, ExcelOption, ModelOption, ResultFormat, with_common_options

if TYPE_CHECKING:
    from rich.console import Console

    from cli.http.client import JobRequest
    from cli.http.jobview import JobView
    from cli.http.submission import Source
    from cli.output.comparison import Comparison
    from cli.service import Service

_SHOWN = 20


@with_common_options
def compare(
    path: Annotated[str, typer.Argument(metavar="ARCHIVE", help="A folder, an archive, an image, or an S3 prefix.")],
    *,
    a: Annotated[str, typer.Option("--a", metavar="L|N", help="One version, by label or by number.")] = "stable",
    b: Annotated[str, typer.Option("--b", metavar="L|N", help="The other one.")] = "canary",
    model: ModelOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write the table.")] = Path(
        "comparison.csv"
    ),
    excel: ExcelOption = False,
    common: Common,
) -> None:
    """Screen the same images once with each of two versions, and show where they disagree.

    Writes a table of all items, the largest difference in risk first. Both jobs are kept.
    """
    from cli.http.submission import read_source
    from cli.output.comparison import compare_jobs
    from cli.output.outfile import choose_out, refuse_two_on_stdout
    from cli.output.terminal import open_err, open_out, print_json
    from cli.service import open_service
    from cli.stack.stack import StackOptions

    target = choose_out(out, ResultFormat.CSV, excel=excel)
    refuse_two_on_stdout(target, json=common.json)
    source = read_source(path)
    with open_service(common.target, StackOptions(sources=source.needed)) as service:
        job_a, job_b = _screen_both(service, source, model, (a, b))
        comparison = compare_jobs(service.client, job_a.id, job_b.id)
        comparison.write(target.path, excel=excel)
    report = {"a": _report(a, job_a), "b": _report(b, job_b), **comparison.summary(), "table": str(target)}
    if common.json:
        print_json(report)
    else:
        _show(open_err() if target.is_stdout else open_out(), comparison, report)


def _screen_both(service: Service, source: Source, model: str | None, choices: tuple[str, str]) -> tuple[JobView, JobView]:
    """One upload, two jobs; both are waited for."""
    from dataclasses import replace

    from cli.http.submission import submit_source
    from cli.output.progress import follow, open_view

    with open_view() as view:
        first = submit_source(service, source, _request(model, choices[0]), view)
        again = service.client.submit_source(f"job:{first.id}", replace(_request(model, choices[1]), name=first.name))
        jobs = [follow(service.client, job, view) for job in (first, type(first)(again))]
    for job in jobs:
        _require_success(job)
    return jobs[0], jobs[1]


def _request(model: str | None, choice: str) -> JobRequest:
    from cli.http.client import JobRequest

    if choice.isdecimal():
        return JobRequest(model=model, version=int(choice))
    return JobRequest(model=model, label=choice)


def _require_success(job: JobView) -> None:
    from cli.output.exit_codes import CliError, ExitCode

    if job.state != "succeeded":
        raise CliError(f"job {job.id} {job.state}: {job.error or 'it was stopped'}", ExitCode.JOB_FAILED)


def _report(choice: str, job: JobView) -> dict[str, Any]:
    return {"choice": choice, "job": job.id, "model": job.raw["model"], "version": job.raw["version"]}


def _show(console: Console, comparison: Comparison, report: dict[str, Any]) -> None:
    from cli.http.jobview import DISCLAIMER
    from cli.output.summary import make_table
    from core.formats import format_count, format_share

    a, b = report["a"], report["b"]
    console.print(f"a: {a['model']} version {a['version']} ({a['choice']}), b: version {b['version']} ({b['choice']})")
    compared = report["compared"]
    for text, key in (("same class", "same_label"), ("same flag", "same_flag")):
        console.print(
            f"{text}: {format_count(report[key])} of {format_count(compared)} ({format_share(report[key], compared)})"
        )
    console.print(f"flagged by a only: {report['flagged_by_a_only']}, by b only: {report['flagged_by_b_only']}")
    if report["mean_risk_difference"] is not None:
        mean, largest = report["mean_risk_difference"], report["largest_risk_difference"]
        console.print(f"risk differs by {mean:.4f} on average, by {largest:.4f} at most")
    found = comparison.disagreements
    if found:
        table = make_table("Disagreement", "a", "Risk", "b", "Risk", "Difference", right=(2, 4, 5))
        for pair in found[:_SHOWN]:
            risks = [f"{value:.3f}" if value is not None else "–" for value in (pair.risk_a, pair.risk_b)]
            difference = f"{pair.risk_difference:+.3f}" if pair.risk_difference is not None else "–"
            told_a, told_b = pair.label_a or pair.error_a or "", pair.label_b or pair.error_b or ""
            table.add_row(pair.name, told_a, risks[0], told_b, risks[1], difference)
        console.print(table)
    console.print(f"{format_count(len(found))} disagreements; all items: {report['table']}", soft_wrap=True)
    console.print(DISCLAIMER, style="bold")
