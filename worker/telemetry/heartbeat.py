"""Where Celery gives a sign of life: hooks into the worker's parent process and into beat."""

from __future__ import annotations

from typing import Any

from celery import Celery, bootsteps

from worker.telemetry.health import INTERVAL_S, Heartbeat
from worker.ticking import TickScheduler


def watch_worker(app: Celery, heartbeat: Heartbeat) -> None:
    """Beat while the parent's event loop turns, and while it looks for its broker."""

    class Begin(bootsteps.StartStopStep):  # type: ignore[misc]
        """Once the children are forked, and before the first connection."""

        requires = ("celery.worker.components:Pool",)

        def start(self, *_: Any) -> None:
            heartbeat.start()

        def stop(self, *_: Any) -> None:
            heartbeat.wait()

    class Turn(bootsteps.StartStopStep):  # type: ignore[misc]
        """With each connection: a timer of its event loop, which Celery cancels when the connection is lost."""

        requires = ("celery.worker.consumer.connection:Connection",)

        def start(self, *_: Any) -> None:
            heartbeat.wait()

        def register_with_event_loop(self, _consumer: Any, hub: Any) -> None:
            heartbeat.turn()
            hub.timer.call_repeatedly(INTERVAL_S, heartbeat.turn)

        def stop(self, *_: Any) -> None:
            heartbeat.wait()

    app.steps["worker"].add(Begin)
    app.steps["consumer"].add(Turn)


def watched_scheduler(heartbeat: Heartbeat) -> type[TickScheduler]:
    """A scheduler for beat that is ready when its last message was taken."""

    class WatchedScheduler(TickScheduler):
        def setup_schedule(self) -> None:
            super().setup_schedule()
            heartbeat.start()

        def _ensure_connected(self) -> Any:
            heartbeat.wait()
            return super()._ensure_connected()

        def apply_async(self, *args: Any, **kwargs: Any) -> Any:
            try:
                result = super().apply_async(*args, **kwargs)
            except Exception:
                heartbeat.wait()
                raise
            heartbeat.turn()
            return result

    return WatchedScheduler
