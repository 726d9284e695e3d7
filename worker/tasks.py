"""Celery's view of the worker: three tasks of three lines each."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable

from celery import Celery

from core.messages import CLASSIFY, PREPARE, SWEEP
from worker.classify import take_turns
from worker.context import WorkerContext
from worker.prepare import prepare_job
from worker.sweep import sweep
from worker.telemetry.metrics import observed_task

PREPARE_SOFT_LIMIT_S = 4 * 3600.0  # a huge compressed tar is rewritten once; its lease is renewed all the while


class ProcessState:
    """The context of this very process; a forked child never uses its parent's."""

    def __init__(self, open_context: Callable[[], WorkerContext]) -> None:
        self._open_context = open_context
        self._context: WorkerContext | None = None
        self._pid = 0

    def open(self) -> WorkerContext:
        """The context, made on first use in this process."""
        if self._context is None or self._pid != os.getpid():
            self._context, self._pid = self._open_context(), os.getpid()
        return self._context

    def close(self) -> None:
        """Release what this process opened."""
        if self._context is not None and self._pid == os.getpid():
            self._context.close()
        self._context = None


def register_tasks(app: Celery, state: ProcessState) -> None:
    """Define the tasks on an app."""

    def prepare(job_id: str) -> None:
        with observed_task("prepare"):
            run_prepare(state.open(), uuid.UUID(job_id))

    def classify(*_chunk: str | int) -> None:  # releases before 0020 name a chunk: the turns decide all the same
        with observed_task("classify"):
            take_turns(state.open())

    swept_at: float | None = None  # when this process's last sweep ended, by its monotonic clock

    def run_sweep() -> None:
        """Ticks may have piled up behind long work, and they go before chunks: half an interval belongs to other work."""
        nonlocal swept_at
        context = state.open()
        if swept_at is not None and time.monotonic() - swept_at < context.settings.worker.sweep_interval_s / 2:
            return
        with observed_task("sweep"):
            sweep(context)
        swept_at = time.monotonic()

    app.task(prepare, name=PREPARE, shared=False, soft_time_limit=PREPARE_SOFT_LIMIT_S, time_limit=PREPARE_SOFT_LIMIT_S + 60)
    app.task(classify, name=CLASSIFY, shared=False)
    app.task(run_sweep, name=SWEEP, shared=False)


def run_prepare(context: WorkerContext, job_id: uuid.UUID) -> None:
    """Prepare a job, then wake those who classify it: that runs under its own time limits, in its own queue."""
    context.publish(prepare_job(context, job_id))
