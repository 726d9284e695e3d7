"""What the fuzz has found wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One wrong answer: which target, what kind of wrong, details, and the input itself."""

    target: str
    kind: str
    text: str
    data: bytes
