"""The Celery app: settings of RELIABILITY, three tasks, and a context that opens after the fork."""

from __future__ import annotations

from typing import Any

from billiard import current_process  # type: ignore[import-untyped]
from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

from core.broker import celery_config
from core.memorylimit import limit_memory
from core.settings import Settings
from core.telemetry.tracing import close_tracing, configure_tracing
from worker.context import WorkerContext
from worker.publish import make_publisher
from worker.tasks import ProcessState, register_tasks
from worker.telemetry.health import Heartbeat
from worker.telemetry.heartbeat import watch_worker
from worker.telemetry.metrics import enter_process


def create_celery(settings: Settings) -> Celery:
    """Build the app. Nothing connects, and no engine or channel is made, before a worker process starts."""
    app = Celery("dermq")
    app.conf.update(celery_config(settings))
    app.conf.update(_worker_config(settings))
    state = ProcessState(lambda: WorkerContext.open(settings, make_publisher(app)))
    register_tasks(app, state)
    if settings.worker.heartbeat_file:
        watch_worker(app, Heartbeat(settings.worker.heartbeat_file))
    worker_process_init.connect(_opener(state, settings), weak=False)
    worker_process_shutdown.connect(_closer(state), weak=False)
    return app


def _worker_config(settings: Settings) -> dict[str, Any]:
    worker = settings.worker
    return {
        "task_queues": None,
        "worker_concurrency": worker.concurrency,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # Acknowledged when taken: the ledger, not Redis, knows what is unfinished (docs/adr/0001-ledger.md).
        "task_acks_late": False,
        "task_soft_time_limit": worker.soft_limit_s,
        "task_time_limit": worker.hard_limit_s,
        "worker_soft_shutdown_timeout": 5.0,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Redis whose append-only file has no room answers each take with an error, on a connection that is good.
        "broker_channel_error_retry": True,
        "worker_hijack_root_logger": False,
        # Off unless Flower is to look: no pidbox keys in Redis, no message per task; the sweeper watches leases.
        "worker_send_task_events": worker.events,
        "worker_enable_remote_control": worker.events,
        "worker_max_memory_per_child": 600_000,  # KiB; a leak in a decoder ends with the process, not with the machine
    }


def _opener(state: ProcessState, settings: Settings) -> Any:
    def open_context(**_: Any) -> None:
        limit_memory(settings.worker.memory_bytes)
        enter_process(getattr(current_process(), "index", 0))
        configure_tracing(settings.tracing, "dermq-worker")
        state.open().presence.start()

    return open_context


def _closer(state: ProcessState) -> Any:
    def close_context(**_: Any) -> None:
        state.close()
        close_tracing()

    return close_context
