"""`dermq evaluate-job`: a job beside what is known to be true of its images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Common, JobArgument, with_common_options

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from cli.http.client import Client


@with_common_options
def evaluate_job(
    job: JobArgument,
    *,
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth",
            metavar="FILE",
            help="CSV with a column that names images and one that has their classes. It replaces the job's truth. Default: "
            "the truth that the job has, else a column of the archive's own table, else its folders.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", metavar="NAME", help="The column of the classes. Default: found by its name.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the report: .html or .json. `-`: JSON to stdout.")
    ] = None,
    common: Common,
) -> None:
    """Measure a job that has ended: confusion matrix, sensitivity by class, ROC curve, calibration, groups.

    What of the truth cannot be used is counted: names that match no image, unknown classes, images named twice.
    """
    from cli.http.jobreference import find_job
    from cli.output.replacing import STDOUT
    from cli.output.terminal import open_err, open_out, print_json
    from cli.service import connect

    form = _form_of(out)
    with connect(common.target).client as client:
        found = find_job(client, job)
        _give_truth(client, found, truth, column)
        report = client.get(f"/v1/jobs/{found}/report.json")
        if out is not None and out != STDOUT:
            client.save_report(found, form, out)
    if common.json or out == STDOUT:
        print_json(report)
        return
    _show(open_out(), report)
    if out is not None:
        open_err().print(f"Report: {out}", soft_wrap=True)


def _form_of(out: Path | None) -> str:
    from cli.output.exit_codes import CliError, ExitCode
    from cli.output.replacing import STDOUT

    if out is None or out == STDOUT or out.suffix.lower() in (".json", ".html"):
        return "html" if out is not None and out.suffix.lower() == ".html" else "json"
    raise CliError(f"the format of {out} is not clear: expected .html or .json as its extension", ExitCode.USAGE, "Rename it.")


def _give_truth(client: Client, job: str, truth: Path | None, column: str | None) -> None:
    """Send the truth that is asked for; without one, keep the job's own, else take the archive's."""
    from cli.output.exit_codes import CliError, ExitCode

    parameters = {"column": column} if column else {}
    if truth is not None:
        client.put_truth(job, truth.read_bytes(), truth.name, parameters)
        return
    if not column:
        try:
            client.get(f"/v1/jobs/{job}/truth")
        except CliError as error:
            if error.code is not ExitCode.NOT_FOUND:
                raise
        else:
            return
    client.put_truth(job, None, "", parameters)


def _show(console: Console, report: dict[str, Any]) -> None:
    from core.formats import format_count

    known = report["truth"]
    versions = ", ".join(map(str, report["versions"]))
    console.print(report["name"], style="bold", soft_wrap=True)
    console.print(f"{report['model']} version {versions}; truth: {known['source']}", soft_wrap=True)
    console.print(
        f"{format_count(report['images'])} images judged, {format_count(report['failed'])} with a truth failed, "
        f"{format_count(report['without_truth'])} without a truth"
    )
    for text, key in (
        ("names match no image", "unmatched"),
        ("names match several images", "ambiguous"),
        ("images are named twice with different classes, and left out", "contradicting"),
        ("images are named more than once with the same class", "repeated"),
    ):
        if known[key]["count"]:
            line = f"{format_count(known[key]['count'])} {text}: {', '.join(known[key]['examples'])}"
            console.print(line, style="yellow", soft_wrap=True, markup=False)
    if known["unknown_classes"]:
        words = ", ".join(f"{word} ({count})" for word, count in known["unknown_classes"].items())
        console.print(f"classes that the model does not have: {words}", style="yellow", soft_wrap=True, markup=False)
    for table in (_figures(report), _matrix(report), _classes(report)):
        console.print()
        console.print(table)
    console.print()
    console.print(report["disclaimer"], style="bold")


def _figures(report: dict[str, Any]) -> Table:
    from cli.output.summary import make_table

    table, head, bounds = make_table("Figure", "Value", "95 % interval", right=(1,)), report["headline"], report["interval_95"]
    rows = [("balanced accuracy", head["balanced_accuracy"], bounds["balanced_accuracy"])]
    rows.append(("accuracy", head["accuracy"], bounds["accuracy"]))
    point = report["operating_points"].get(report["operating_point"])
    if point is not None:
        rows.append(("risk's AUC", head["malignant_auc"], bounds["malignant_auc"]))
        at = f"{point['threshold']:.3f}"
        rows += [(f"{name} at {at}", point[name], bounds[name]) for name in ("sensitivity", "specificity")]
    rows.append(("calibration error", head["ece"], bounds["ece"]))
    for name, value, interval in rows:
        table.add_row(name, _number(value), _interval(interval))
    return table


def _matrix(report: dict[str, Any]) -> Table:
    from cli.output.summary import make_table

    names = report["class_names"]
    table = make_table("True class", *names, right=tuple(range(1, len(names) + 1)))
    for name, row in zip(names, report["confusion"], strict=True):
        table.add_row(name, *map(str, row))
    return table


def _classes(report: dict[str, Any]) -> Table:
    from cli.output.summary import make_table

    table = make_table("Class", "Images", "Sensitivity", "95 % interval", "Specificity", right=(1, 2, 4))
    for name, found in report["classes"].items():
        interval = _interval(report["interval_95"]["recall"][name])
        table.add_row(name, str(found["images"]), _number(found["recall"]), interval, _number(found["specificity"]))
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(bounds: list[float | None]) -> str:
    low, high = bounds
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
