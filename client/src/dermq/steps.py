"""Several requests that depend on each other, written once for both clients: a generator says what to send next.

It yields a `Call`, and gets its response or the error that came instead; or it yields a `Pause`, and gets nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

import httpx2

from dermq.calls import Call
from dermq.errors import DermqError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is sent for so many seconds."""

    seconds: float


Steps = Generator[Call | Pause, httpx2.Response, T]


@dataclass(frozen=True, slots=True)
class End(Generic[T]):
    """The steps are over; this is what they return."""

    value: T


def advance(steps: Steps[T], came: httpx2.Response | DermqError | None) -> Call | Pause | End[T]:
    """What is to be done next.

    Args:
        steps: which have been advanced so far.
        came: what the last step brought; None before the first one, and after a pause.

    Raises:
        DermqError: the steps end with it.
    """
    try:
        if isinstance(came, DermqError):
            return steps.throw(came)
        return steps.send(came) if came is not None else next(steps)
    except StopIteration as end:
        return End(end.value)
