"""`dermq jobs` as a table that holds at any width: a job is one line, and what it waits for stands below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.formats import format_count, format_moment

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from cli.http.jobview import JobView

# Characters of a terminal from which on there is room for: the column of failures, that of the time, whole ids.
_FAILED_CELLS, _SUBMITTED_CELLS, _WHOLE_ID_CELLS = 72, 90, 120
_LEAST_NAME_CELLS, _GAP_CELLS = 6, 3
_SHORTEST_ID = 13  # of a UUIDv7: its milliseconds, so that two jobs seldom share them


def print_jobs(console: Console, jobs: Sequence[JobView]) -> None:
    """A line for each job, then a sentence for each that waits. In a file or a pipe ids are whole, whatever the width."""
    if not console.is_terminal:
        console.width = max(console.width, _WHOLE_ID_CELLS)
    names = dict(zip((job.id for job in jobs), _shown_ids([job.id for job in jobs], console.width), strict=True))
    console.print(_table(jobs, names, console.width))
    waiting = [job for job in jobs if job.waiting_for and not job.is_terminal]
    if waiting:
        console.print()
    for job in waiting:
        console.print(f"{names[job.id]} waits for {job.waiting_for}", soft_wrap=True)


def _table(jobs: Sequence[JobView], names: dict[str, str], width: int) -> Table:
    from rich.text import Text

    from cli.output.summary import make_table

    failed, submitted = width >= _FAILED_CELLS, width >= _SUBMITTED_CELLS
    columns = ["Job", "Name", "State", "Items", *(["Failed"] if failed else []), *(["Submitted"] if submitted else [])]
    rows = [_cells(job, names[job.id], failed=failed, submitted=submitted) for job in jobs]
    others = [max(len(head), *(len(row[number]) for row in rows)) for number, head in enumerate(columns) if number != 1]
    room = max(_LEAST_NAME_CELLS, width - sum(others) - _GAP_CELLS * len(others))
    table = make_table(*columns, right=(3, 4) if failed else (3,), whole=tuple(range(len(columns))))
    for row in rows:
        name = Text(row[1])
        name.truncate(room, overflow="ellipsis")
        table.add_row(row[0], name, *row[2:])
    return table


def _cells(job: JobView, shown_id: str, *, failed: bool, submitted: bool) -> list[str]:
    cells = [shown_id, job.name, _state(job), _items(job)]
    cells += [format_count(job.failed)] if failed else []
    cells += [format_moment(job.raw["timestamps"]["queued"])] if submitted else []
    return cells


def _shown_ids(ids: Sequence[str], width: int) -> list[str]:
    """Whole ids, or on a narrow terminal their beginnings, which every command takes: long enough to tell them apart."""
    if width >= _WHOLE_ID_CELLS or not ids:
        return list(ids)
    different = len(set(ids))
    length = next(
        (size for size in range(_SHORTEST_ID, len(ids[0])) if len({each[:size] for each in ids}) == different), len(ids[0])
    )
    return [each[:length] for each in ids]


def _state(job: JobView) -> str:
    return "waiting" if job.waiting_for and not job.is_terminal else job.state


def _items(job: JobView) -> str:
    items = format_count(job.finished_items)
    if job.total is not None and job.total != job.finished_items:
        items += f" of {format_count(job.total)}"
    return items
