"""When a call is sent again: the server was lost or busy, and nothing is lost by it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import httpx2

from dermq.connection import is_locked_proxy
from dermq.errors import ProblemError

BUSY = frozenset({429, 502, 503, 504})
_LONGEST_ASKED_S = 5.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how long a call is sent again. Each call is safe to repeat: submissions by their idempotency key.

    Attributes:
        attempts: tries in all; 1 means that nothing is repeated.
        limit_s: no new try once so many seconds have passed.
        longest_pause_s: of the pauses, which double from 0.1 s on, with jitter.
    """

    attempts: int = 4
    limit_s: float = 20.0
    longest_pause_s: float = 2.0


class Attempts:
    """The tries of one call.

    Args:
        retries: how often and how long.
        once: there is one try.
        deadline: moment of `time.monotonic` after which none begins.
    """

    def __init__(self, retries: Retries, *, once: bool = False, deadline: float | None = None) -> None:
        self._attempts = 1 if once else retries.attempts
        self._retries = retries
        self._made = 0
        self._end = time.monotonic() + retries.limit_s
        if deadline is not None:
            self._end = min(self._end, deadline)

    def pause_after(self, error: Exception) -> float | None:
        """Seconds to wait before the next try, or None where there is none: the error is final."""
        self._made += 1
        if self._made >= self._attempts or not is_worth_a_retry(error):
            return None
        pause = self._pause(error)
        return None if time.monotonic() + pause > self._end else pause

    def _pause(self, error: Exception) -> float:
        asked = asked_pause(error)
        if asked is not None:
            return asked
        step = 0.1 * 2.0 ** (self._made - 1)
        return min(self._retries.longest_pause_s, step * random.uniform(1.0, 2.0))  # noqa: S311 - spreads callers, no secret


def asked_pause(error: Exception) -> float | None:
    """Seconds after which the server wants to be asked again, not too many; None where it does not say."""
    asked = error.retry_after_s if isinstance(error, ProblemError) else None
    return None if asked is None else min(asked, _LONGEST_ASKED_S)


def is_worth_a_retry(error: Exception) -> bool:
    """Whether the same call may succeed a moment later."""
    if isinstance(error, ProblemError):
        return error.status in BUSY
    if is_locked_proxy(error):
        return False
    # A read timeout means that the server is busy with this very call: asking again would double its work.
    return isinstance(error, httpx2.TransportError) and not isinstance(error, (httpx2.ReadTimeout, httpx2.UnsupportedProtocol))
