"""Sizes and times of the work."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from core.processors import usable_processors
from core.secretfiles import Concern
from core.settings.reading import variables_of


class WorkerSettings(Concern):
    """DERMQ_WORKER_*: sizes and times of the work. Refused where leases and limits are out of order."""

    model_config = variables_of("DERMQ_WORKER_")

    concurrency: int = Field(
        default_factory=usable_processors,
        description="Child processes of a worker; each takes one chunk at a time. Default: the processors that it may use, by "
        "its affinity and its cgroup's limit.",
    )
    memory_bytes: int = Field(
        default=3 * 1024**3,
        ge=512 * 1024**2,
        description="What one child process may allocate, in bytes. An image that needs more fails, and its neighbours do not.",
    )
    chunk_items: int = Field(
        default=1024,
        gt=0,
        description="Most items in a chunk. As far as a model was measured, a chunk holds half a second of work.",
    )
    chunk_bytes: int = Field(default=64 * 1024 * 1024, gt=0, description="About the most packed bytes of members in a chunk.")
    batch_items: int | None = Field(
        default=None,
        gt=0,
        description="Images in one Predict request. Empty: about 512 kB of pixels, by the size of the model's input.",
    )
    window: int = Field(
        default=16, gt=0, description="Wake-up messages that are sent at a time: as many as worker processes, or more."
    )
    soft_limit_s: float = Field(default=60.0, description="After this time a task ends its work in order.")
    hard_limit_s: float = Field(default=75.0, description="After this time the process of a task is killed.")
    lease_s: float = Field(
        default=15.0,
        ge=3.0,
        description="A worker renews its hold on a chunk three times in this time. A chunk that nobody renews runs elsewhere.",
    )
    visibility_timeout_s: float = Field(
        default=300.0, description="After this time Redis would deliver a message again. More than twice the hard limit."
    )
    sweep_interval_s: float = Field(default=5.0, description="Time between two runs of the sweeper.")
    republish_s: float = Field(
        default=30.0,
        description="A job that nobody prepares gets another message then. Three such times without a claim, and jobs say so.",
    )
    max_crashes: int = Field(default=2, description="A chunk that has lost its worker process so often is split.")
    max_crashes_alone: int = Field(
        default=4,
        ge=1,
        description="An image that stood alone when its worker process was lost so often is `decoder_crash`; a job whose "
        "archive was being listed is `prepare_crash`.",
    )
    max_bugs: int = Field(
        default=2, ge=1, description="A chunk that an unforeseen error has ended so often is split; a single image fails."
    )
    backoff_s: float = Field(default=1.0, description="First wait of a chunk for a dependency that is unavailable; it doubles.")
    max_backoff_s: float = Field(default=30.0, description="Longest wait of a chunk for a dependency that is unavailable.")
    retention_days: float = Field(
        default=30.0, description="How long an ended job is kept. Set when a job is submitted: a new value holds for new jobs."
    )
    events: bool = Field(
        default=False,
        description="Send Celery events, for Flower. Costs a message for each task and lets Flower control workers.",
    )
    heartbeat_file: Path | None = Field(
        default=None, description="File that `python -m worker health` reads. Empty: none is written."
    )

    @model_validator(mode="after")
    def _ordered(self) -> WorkerSettings:
        if not self.soft_limit_s < self.hard_limit_s:
            raise ValueError(
                f"expected DERMQ_WORKER_SOFT_LIMIT_S < HARD_LIMIT_S, got {self.soft_limit_s} and {self.hard_limit_s}: a task "
                "must have time to end in order before its process is killed"
            )
        if not self.visibility_timeout_s > 2 * self.hard_limit_s:
            raise ValueError(
                f"expected DERMQ_WORKER_VISIBILITY_TIMEOUT_S > 2 x HARD_LIMIT_S (a task and one that waits before it), got "
                f"{self.visibility_timeout_s} for {self.hard_limit_s}: Redis would deliver running tasks again"
            )
        return self
