"""What a finished job comes to, on one screen: classes, the riskiest items, the failures, the figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cli.http.jobview import JobView
from cli.output.exit_codes import CliError
from core.formats import format_count, format_duration, format_rate, format_share

if TYPE_CHECKING:
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table

    from cli.http.client import Client

RISKIEST = 10
_BAR_CELLS = 24


def print_summary(console: Console, client: Client, job: JobView) -> None:
    """The whole summary; the riskiest items and examples of failures are fetched."""
    console.print()
    print_heading(console, job)
    flagged = _count_flagged(client, job)
    if flagged is not None:
        console.print(f"flagged: {flagged} (risk of {job.threshold:g} or more)", soft_wrap=True)
    for table in _tables(client, job):
        console.print()
        console.print(table)
    console.print()
    console.print(f"{job.disclaimer} Model: {job.model}.", style="bold", soft_wrap=True)


def _tables(client: Client, job: JobView) -> Iterator[Table]:
    if job.labels:
        yield _class_table(job)
    if job.succeeded and not job.has_risk:
        page = client.get(f"/v1/jobs/{job.id}/results", {"sort": "-uncertainty", "limit": RISKIEST})
        yield _uncertainty_table([row for row in page["data"] if row["uncertainty"] is not None])
    elif job.succeeded:
        page = client.get(f"/v1/jobs/{job.id}/results", {"sort": "-risk", "limit": RISKIEST})
        yield _risk_table([row for row in page["data"] if row["risk"] is not None])
    if job.errors:
        yield _failure_table(job, find_examples(client, job))


def _count_flagged(client: Client, job: JobView) -> str | None:
    """How many images reach the threshold, and which share of those classified; None where there is no threshold."""
    if job.threshold is None or not job.succeeded:
        return None
    try:
        flagged = int(client.get(f"/v1/jobs/{job.id}/histogram")["flagged"])
    except (CliError, KeyError):  # a server of an earlier release does not count
        return None
    return f"{format_count(flagged)} of {format_count(job.succeeded)}, {format_share(flagged, job.succeeded)}"


def find_examples(client: Client, job: JobView) -> dict[str, dict[str, Any]]:
    """The first failed item of each code."""
    examples = {}
    for code in job.errors:
        found = client.get(f"/v1/jobs/{job.id}/errors", {"code": code, "limit": 1})["data"]
        if found:
            examples[code] = found[0]
    return examples


def print_heading(console: Console, job: JobView) -> None:
    """Name, state, figures and notes of a job."""
    styles = {"succeeded": "bold green", "failed": "bold red", "cancelled": "bold yellow"}
    console.print(job.name, style="bold", end=" ", soft_wrap=True)
    console.print(job.state, style=styles.get(job.state, "bold"))
    parts = [f"{format_count(job.finished_items)} items", f"{format_count(job.succeeded)} classified"]
    parts.append(f"{format_count(job.failed)} failed")
    if job.skipped:
        parts.append(f"{format_count(job.skipped)} skipped (folders, system files)")
    if job.seconds is not None:
        parts.append(format_duration(job.seconds))
    if job.seconds and job.finished_items:
        parts.append(f"{format_rate(job.finished_items / job.seconds)} in all")
    if job.images_per_s:
        parts.append(f"{format_rate(job.images_per_s)} while classifying")
    console.print(" · ".join(parts), soft_wrap=True)
    if job.item_notes:
        counts = sorted(job.item_notes.items(), key=lambda entry: -entry[1])
        console.print("notes: " + ", ".join(f"{format_count(count)} {code}" for code, count in counts), soft_wrap=True)
    for note in job.notes:
        console.print(f"archive: {note}", style="yellow", soft_wrap=True)
    if job.error:
        console.print(job.error, style="red", soft_wrap=True)


def _class_table(job: JobView) -> Table:
    table = make_table("Class", "Items", "Share", "", right=(1, 2))
    order = {name: number for number, name in enumerate(job.classes)}
    for name, count in sorted(job.labels.items(), key=lambda entry: (-entry[1], order.get(entry[0], 0))):
        table.add_row(name, format_count(count), format_share(count, job.succeeded), _bar(count, job.succeeded))
    return table


def _risk_table(rows: list[dict[str, Any]]) -> Table:
    table = make_table("Highest risk", "Risk", "Label", "Score", "", right=(1, 3))
    for row in rows:
        flag = "flagged" if row.get("flag") else ""
        table.add_row(str(row["name"]), f"{row['risk']:.3f}", str(row["label"]), f"{row['score']:.3f}", flag)
    return table


def _uncertainty_table(rows: list[dict[str, Any]]) -> Table:
    """Of a model without malignant classes: what it is least sure of."""
    table = make_table("Least sure of", "Uncertainty", "Label", "Score", right=(1, 3))
    for row in rows:
        table.add_row(str(row["name"]), f"{row['uncertainty']:.3f}", str(row["label"]), f"{row['score']:.3f}")
    return table


def _failure_table(job: JobView, examples: dict[str, dict[str, Any]]) -> Table:
    table = make_table("Failure", "Items", "For example", right=(1,))
    for code, count in sorted(job.errors.items(), key=lambda entry: -entry[1]):
        row = examples.get(code)
        table.add_row(code, format_count(count), f"{row['name']}: {row['message']}" if row else "")
    return table


def _bar(part: int, whole: int) -> Bar:
    from rich.bar import Bar

    return Bar(whole, 0, part, width=_BAR_CELLS, color="cyan")


def make_table(*columns: str, right: tuple[int, ...] = (), whole: tuple[int, ...] = ()) -> Table:
    """An empty table in the manner of this command line.

    Args:
        columns: their headings.
        right: columns of figures.
        whole: columns that are never broken.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number in right else "left", no_wrap=number in right + whole, overflow="fold")
    return table
