"""What a check of `dermq doctor` comes back with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Grade(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome."""

    name: str
    grade: Grade
    detail: str
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
