"""The job object of the HTTP API, with names instead of keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
DISCLAIMER = "Research use only, not a diagnosis."


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job as the server told it at one moment. `raw` is what the server sent."""

    raw: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.raw["id"])

    @property
    def name(self) -> str:
        return str(self.raw.get("name") or self.id)

    @property
    def state(self) -> str:
        return str(self.raw["state"])

    @property
    def is_terminal(self) -> bool:
        return self.state in TERMINAL

    @property
    def total(self) -> int | None:
        """Items of the archive, None until it has been listed."""
        total = self.raw["counts"].get("total")
        return None if total is None else int(total)

    @property
    def succeeded(self) -> int:
        return int(self.raw["counts"].get("succeeded") or 0)

    @property
    def failed(self) -> int:
        return int(self.raw["counts"].get("failed") or 0)

    @property
    def skipped(self) -> int:
        return int(self.raw["counts"].get("skipped") or 0)

    @property
    def finished_items(self) -> int:
        return self.succeeded + self.failed

    @property
    def labels(self) -> dict[str, int]:
        return dict(self.raw.get("labels") or {})

    @property
    def errors(self) -> dict[str, int]:
        return dict(self.raw.get("errors") or {})

    @property
    def item_notes(self) -> dict[str, int]:
        """Classified items by the notes they have."""
        return dict(self.raw.get("item_notes") or {})

    @property
    def notes(self) -> list[str]:
        """What is to know of the archive as a whole, a sentence each."""
        return [str(note["text"]) for note in self.raw.get("notes") or ()]

    @property
    def images_per_s(self) -> float | None:
        rate = self.raw.get("images_per_s")
        return None if rate is None else float(rate)

    @property
    def eta_s(self) -> float | None:
        eta = self.raw.get("eta_s")
        return None if eta is None else float(eta)

    @property
    def waiting_for(self) -> str | None:
        return self.raw.get("waiting_for")

    @property
    def waiting_since(self) -> str | None:
        return self.raw.get("waiting_since")

    @property
    def waiting_until(self) -> str | None:
        return self.raw.get("waiting_until")

    @property
    def error(self) -> str | None:
        """Why the job as a whole failed."""
        error = self.raw.get("error")
        return f"{error['message']} ({error['code']})" if error else None

    @property
    def model(self) -> str:
        """'starter version 1', or what was asked for while that is not resolved."""
        name, version = self.raw.get("model") or "the default model", self.raw.get("version")
        if version is not None:
            return f"{name} version {version}"
        label = (self.raw.get("requested") or {}).get("label")
        return f"{name} ({label})" if label else str(name)

    @property
    def classes(self) -> list[str]:
        return list(self.raw.get("classes") or [])

    @property
    def has_risk(self) -> bool:
        """Whether a class of the model is malignant; a server of an earlier release has such models only."""
        return self.raw.get("threshold") is not None or not self.classes

    @property
    def disclaimer(self) -> str:
        return str(self.raw.get("disclaimer") or DISCLAIMER)

    @property
    def seconds(self) -> float | None:
        """From submission to the end, None before."""
        stamps = self.raw.get("timestamps") or {}
        began, ended = stamps.get("queued"), stamps.get(self.state)
        if not self.is_terminal or not began or not ended:
            return None
        return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()

    @property
    def threshold(self) -> float | None:
        """Risk from which on an image is flagged; None where the model has no risk, or is not known yet."""
        threshold = self.raw.get("threshold")
        return None if threshold is None else float(threshold)


class JobHandle:
    """What `Job` and `AsyncJob` share: the job as it was last seen. `info` has names for all that the server sent."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.info = JobInfo(raw)

    def __repr__(self) -> str:
        return f"<dermq.{type(self).__name__} {self.id} {self.name!r}: {self.state}>"

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def state(self) -> str:
        """queued, preparing, running, cancelling, succeeded, failed or cancelled."""
        return self.info.state
