"""Follows a job until it ends: a live bar on a terminal, plain lines elsewhere. Everything goes to stderr."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from cli.http.jobview import JobView
from cli.output.terminal import is_interactive, open_err
from core.formats import format_bytes, format_count, format_duration, format_rate

if TYPE_CHECKING:
    from cli.http.client import Client

_LINE_EVERY_S = 10.0


class ProgressView(AbstractContextManager["ProgressView"], Protocol):
    """Shows how a job goes."""

    def show(self, job: JobView) -> None:
        """The job's newest state."""
        ...

    def show_upload(self, sent: int, size: int) -> None:
        """Bytes sent so far, of about so many."""
        ...

    def note(self, text: str) -> None:
        """Something beside the job itself."""
        ...


def open_view() -> ProgressView:
    """The view that suits stderr."""
    return BarView() if is_interactive() else LineView()


def follow(client: Client, job: JobView, view: ProgressView) -> JobView:
    """Poll until the job has ended.

    Raises:
        CliError: the server stays away, or the job is gone.
    """
    newest = job

    def note_absence() -> None:
        view.note("the server does not answer; asking again")

    for newest in client.updates(job, on_lost=note_absence):
        view.show(newest)
    return newest


def describe_state(job: JobView) -> str:
    """What the job is doing, in a few words."""
    if job.waiting_for:
        return f"{job.state}, waiting for {job.waiting_for}"
    words = {"queued": "waiting for a worker", "preparing": "reading the archive", "running": "classifying"}
    return words.get(job.state, job.state)


class LineView:
    """A line per change of state, and one every ten seconds: for logs and pipes."""

    def __init__(self) -> None:
        self._console = open_err()
        self._last = ""
        self._last_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to put back."""

    def show(self, job: JobView) -> None:
        state = describe_state(job)
        now = time.monotonic()
        if state == self._last and not job.is_terminal and now - self._last_at < _LINE_EVERY_S:
            return
        self._last, self._last_at = state, now
        self._console.print(f"{job.name}: {state}{_numbers(job)}", soft_wrap=True)

    def show_upload(self, sent: int, size: int) -> None:
        if time.monotonic() - self._last_at >= _LINE_EVERY_S:
            self._last_at = time.monotonic()
            self._console.print(f"sent {format_bytes(sent)} of {format_bytes(size)}")

    def note(self, text: str) -> None:
        if text != self._last:
            self._last = text
            self._console.print(text, soft_wrap=True)


class BarView:
    """A live bar: items, failures, images/s, time left."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None, complete_style="cyan", finished_style="green", pulse_style="dim"),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=open_err(),
            transient=True,
            expand=True,
        )
        self._task = self._progress.add_task("submitting", total=None, numbers="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def show(self, job: JobView) -> None:
        self._progress.update(
            self._task,
            description=describe_state(job),
            total=job.total,
            completed=job.finished_items,
            numbers=_numbers(job).removeprefix(": "),
        )

    def show_upload(self, sent: int, size: int) -> None:
        numbers = f"{format_bytes(sent)} of {format_bytes(size)}"
        self._progress.update(self._task, description="sending", total=size or None, completed=min(sent, size), numbers=numbers)

    def note(self, text: str) -> None:
        self._progress.update(self._task, description=text)


def _numbers(job: JobView) -> str:
    if job.total is None:
        return ""
    parts = [f"{format_count(job.finished_items)} of {format_count(job.total)}"]
    if job.failed:
        parts.append(f"{format_count(job.failed)} failed")
    if job.state == "running" and job.images_per_s:
        parts.append(format_rate(job.images_per_s))
    if job.state == "running" and job.eta_s is not None:
        parts.append(f"{format_duration(job.eta_s)} left")
    return ": " + ", ".join(parts)
