"""What a span and a maker of spans are, whoever makes them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Protocol

Attribute = str | int | float | bool


class Kind(StrEnum):
    """Which side of a call a span is (OpenTelemetry's SpanKind)."""

    SERVER = "SERVER"  # answers a request
    CONSUMER = "CONSUMER"  # takes up what another process has left to do
    CLIENT = "CLIENT"  # asks another process


class Span(Protocol):
    """One piece of work in a trace."""

    @property
    def traceparent(self) -> str | None:
        """Its W3C context; None if traces are off."""
        ...

    def rename(self, name: str) -> None:
        """Give it the name that is known only now."""
        ...

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        """Note attributes, by dotted names."""
        ...

    def fail(self, why: str) -> None:
        """It went wrong: a class of error, without what a user's file is called."""
        ...

    def end(self, *, after_s: float | None = None) -> None:
        """It is over: now, or so many seconds after it began."""
        ...


class Tracer(Protocol):
    """Makes spans."""

    def span(self, name: str, kind: Kind, parent: str | None) -> AbstractContextManager[Span]:
        """A span that is the current one in the block, and fails with what the block raises."""
        ...

    def begin(self, name: str, kind: Kind) -> Span:
        """A span below the current one that somebody else ends."""
        ...

    def traceparent(self) -> str | None:
        """The current span's context."""
        ...

    def close(self) -> None:
        """Send what is left, within seconds."""
        ...
