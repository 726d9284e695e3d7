"""Celery beat: sends the scheduler tick that starts a sweep. A light process: it imports nothing of what the tasks do."""

from __future__ import annotations

from celery import Celery

from core.broker import celery_config
from core.messages import QUEUE_CONTROL, SWEEP
from core.settings import Settings
from worker.telemetry.health import STALLED_S, Heartbeat


def create_beat(settings: Settings) -> Celery:
    """An app with one periodic message. Two beats are one too many but do no harm: the sweeper is safe to run twice."""
    interval_s = settings.worker.sweep_interval_s
    app = Celery("dermq-beat")
    app.conf.update(celery_config(settings))
    app.conf.update(
        worker_hijack_root_logger=False,
        beat_scheduler=_scheduler(settings),  # in memory: one entry, due at once after a restart
        beat_max_loop_interval=interval_s,
        beat_schedule={
            "sweep": {
                "task": SWEEP,
                "schedule": interval_s,
                "options": {"queue": QUEUE_CONTROL},
            }
        },
    )
    return app


def _scheduler(settings: Settings) -> object:
    path = settings.worker.heartbeat_file
    if path is None:
        return "worker.ticking:TickScheduler"
    from worker.telemetry.heartbeat import watched_scheduler  # noqa: PLC0415 - only where somebody asks for signs of life

    return watched_scheduler(Heartbeat(path, max(STALLED_S, 3 * settings.worker.sweep_interval_s)))
