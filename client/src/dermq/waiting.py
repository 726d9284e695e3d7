"""How a job is asked after until it has ended: at growing intervals, with patience for a server that restarts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from dermq.errors import ProblemError, UnreachableError
from dermq.jobinfo import JobInfo
from dermq.retries import is_worth_a_retry

PATIENCE_S = 120.0
LOST = (ProblemError, UnreachableError)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0


class Poll:
    """The pauses between two questions, and how long no answer has come.

    Args:
        patience_s: how long a server that does not answer is asked again, seconds.
        deadline: moment of `time.monotonic` at which the asking ends.
    """

    def __init__(self, patience_s: float, deadline: float | None = None) -> None:
        self.deadline = deadline
        self._patience_s = patience_s
        self._pause_s = _FIRST_PAUSE_S
        self._lost_since: float | None = None

    def next_pause(self) -> float:
        """Seconds to wait before the next question."""
        pause, self._pause_s = self._pause_s, min(self._pause_s * 1.5, _LONGEST_PAUSE_S)
        return pause if self.deadline is None else max(0.0, min(pause, self.deadline - time.monotonic()))

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def answered(self) -> None:
        """An answer has come."""
        self._lost_since = None

    def is_over(self, error: Exception) -> bool:
        """Whether no more is asked after this error: it is final, or the server has been away for too long."""
        self._lost_since = self._lost_since or time.monotonic()
        return not _may_return(error) or time.monotonic() - self._lost_since > self._patience_s


def updates(
    job: JobInfo, ask: Callable[[], JobInfo], poll: Poll, *, on_lost: Callable[[], None] | None = None
) -> Iterator[JobInfo]:
    """The job as it is, then as `ask` finds it, until it has ended or the deadline has passed.

    Raises:
        ProblemError, UnreachableError: the server stays away, or the job is gone.
    """
    yield job
    while not job.is_terminal and not poll.is_late:
        time.sleep(poll.next_pause())
        try:
            job = ask()
        except LOST as error:
            if poll.is_over(error):
                raise
            if on_lost:
                on_lost()
            continue
        poll.answered()
        yield job


def deadline_of(timeout_s: float | None) -> float | None:
    """The moment of `time.monotonic` so many seconds from now."""
    return None if timeout_s is None else time.monotonic() + timeout_s


def _may_return(error: Exception) -> bool:
    """Whether a server that failed so may answer later."""
    if isinstance(error, ProblemError):
        return error.status >= 500 or is_worth_a_retry(error)
    return True
