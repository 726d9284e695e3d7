"""A progress bar for people: tqdm's where it is installed (in notebooks too), else rich's, else none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Protocol

from dermq.jobinfo import JobInfo


class Progress(Protocol):
    """What is told of a submission and of the job that comes of it."""

    def sent(self, count: int, size: int) -> None:
        """Bytes sent so far, of about so many."""
        ...

    def seen(self, job: JobInfo) -> None:
        """The job's newest state."""
        ...


class Silence:
    """No progress is shown."""

    def sent(self, count: int, size: int) -> None:
        """Nothing is shown."""

    def seen(self, job: JobInfo) -> None:
        """Nothing is shown."""


class _TqdmBar:
    """tqdm.auto chooses the notebook's widget or the terminal's bar by itself."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def sent(self, count: int, size: int) -> None:
        self._bar.set_description("sending")
        self._move(count, size)

    def seen(self, job: JobInfo) -> None:
        self._bar.set_description(describe(job))
        if job.total is not None:
            self._move(job.finished_items, job.total)

    def _move(self, count: int, total: int) -> None:
        if self._bar.total != total:
            self._bar.reset(total=total)
        self._bar.update(min(count, total) - self._bar.n)


class _RichBar:
    """rich draws in a terminal, and in a notebook where ipywidgets is."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task = bar.add_task("submitting", total=None)

    def sent(self, count: int, size: int) -> None:
        self._bar.update(self._task, description="sending", total=size or None, completed=min(count, size))

    def seen(self, job: JobInfo) -> None:
        self._bar.update(self._task, description=describe(job), total=job.total, completed=job.finished_items)


def describe(job: JobInfo) -> str:
    """What the job is doing, in a few words."""
    return f"{job.state}, waiting for {job.waiting_for}" if job.waiting_for else job.state


@contextmanager
def open_progress(wanted: bool | Progress) -> Iterator[Progress]:
    """The bar that suits: True takes tqdm, else rich, else none; False none; or an object of the caller's own."""
    if not isinstance(wanted, bool):
        yield wanted
    elif wanted and find_spec("tqdm"):
        from tqdm.auto import tqdm  # noqa: PLC0415 - optional

        with tqdm(total=0, unit=" items", unit_scale=True, leave=False) as bar:
            yield _TqdmBar(bar)
    elif wanted and find_spec("rich"):
        from rich.progress import Progress as RichProgress  # noqa: PLC0415 - optional

        with RichProgress(transient=True) as shown:
            yield _RichBar(shown)
    else:
        yield Silence()
