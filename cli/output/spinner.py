"""What the one-machine stack is doing: a spinner with seconds on a terminal, a line per step elsewhere. On stderr."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cli.output.terminal import is_interactive, open_err
from core.formats import format_duration

if TYPE_CHECKING:
    from rich.progress import Progress


class StackStatus:
    """A context manager; outside of waits nothing is drawn."""

    def __init__(self) -> None:
        self._console = open_err()
        self._spinner: Progress | None = None
        self._began: float | None = None
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._hide()

    def progress(self, text: str) -> None:
        """What is being waited for."""
        self._began = self._began or time.monotonic()
        if is_interactive():
            spinner = self._spinner = self._spinner or _open_spinner()
            spinner.update(spinner.task_ids[0], description=f"{text}…")
        elif text != self._last:
            self._console.print(f"{text}…", soft_wrap=True)
        self._last = text

    def note(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, style="dim", soft_wrap=True)

    def done(self, text: str) -> None:
        """The wait is over."""
        self._hide()
        after = f" (after {format_duration(time.monotonic() - self._began)})" if self._began else ""
        self._began = None
        self.note(f"{text}{after}")

    def _hide(self) -> None:
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None


def _open_spinner() -> Progress:
    """A spinner that counts the seconds by itself, also while its text stays."""
    from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
    from rich.text import Text

    class Seconds(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(format_duration(task.elapsed), style="dim")

    spinner = Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), Seconds(), console=open_err(), transient=True
    )
    spinner.add_task("", total=None)
    spinner.start()
    return spinner
