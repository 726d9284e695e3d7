"""The tasks as Celery runs them: ticks that have piled up cost one sweep."""

from __future__ import annotations

from typing import cast
from unittest.mock import Mock

import pytest
from celery import Celery

from core.messages import SWEEP
from core.settings import Settings
from worker import tasks
from worker.context import WorkerContext
from worker.tasks import ProcessState, register_tasks


def test_ticks_that_piled_up_do_not_keep_chunks_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    now, sweeps, settings = [100.0], [], Settings()
    interval_s = settings.worker.sweep_interval_s

    def slow_sweep(_: WorkerContext) -> None:
        sweeps.append(now[0])
        now[0] += interval_s  # as long as the time between two ticks

    monkeypatch.setattr(tasks, "sweep", slow_sweep)
    monkeypatch.setattr(tasks.time, "monotonic", lambda: now[0])
    context = cast(WorkerContext, Mock(spec=WorkerContext, settings=settings))
    app = Celery("test", set_as_current=False)
    register_tasks(app, ProcessState(lambda: context))
    for _ in range(50):
        app.tasks[SWEEP]()
    assert sweeps == [100.0]
    now[0] += interval_s / 2
    app.tasks[SWEEP]()
    assert len(sweeps) == 2
