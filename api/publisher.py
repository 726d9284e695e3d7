"""Wake-up messages to the workers, sent from a thread of their own: no answer waits for the broker.

A lost message is no fault: the job is in the ledger and due, and the sweeper publishes it again. So nothing here retries.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from api.metrics import PUBLISH_FAILURES
from core.broker import celery_config
from core.brokerclient import open_redis
from core.errors import BrokerUnavailableError
from core.messages import Message
from core.settings import Settings
from core.telemetry.logs import get_logger

if TYPE_CHECKING:
    from celery import Celery

_WAITING_LIMIT = 10_000  # wake-ups held while the broker is slow; what is beyond is left to the sweeper
_PAUSE_S = 1.0  # after a failure the broker is left alone for so long
_PING_S = 2.0

OnLost = Callable[[UUID], None]
_Wake = tuple[UUID, Sequence[Message]]


class Publisher:
    """Sends messages in the order they come. Thread-safe."""

    def __init__(self, settings: Settings, on_lost: OnLost) -> None:
        """Start the thread; the broker is contacted with the first message.

        Args:
            settings: address and time limits of the broker.
            on_lost: called in the thread with the job, for each wake-up that was not taken.
        """
        self._settings = settings
        self._on_lost = on_lost
        self._log = get_logger(__name__)
        self._queue: queue.Queue[_Wake | None] = queue.Queue(_WAITING_LIMIT)
        self._app: Celery | None = None
        self._paused_until = 0.0
        self._reason = ""
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def send_soon(self, job_id: UUID, messages: Sequence[Message]) -> None:
        """Queue messages of a committed change; returns at once."""
        if not messages:
            return
        try:
            self._queue.put_nowait((job_id, messages))
        except queue.Full:
            PUBLISH_FAILURES.inc(len(messages))
            self._log.warning("wake-up left to the sweeper", job=str(job_id), reason="too many wake-ups wait for the broker")

    def check(self, limit_s: float = _PING_S) -> None:
        """Ask the broker for a sign of life.

        Raises:
            BrokerUnavailableError: none came within the limit.
        """
        import redis  # noqa: PLC0415 - only here and below Celery

        client = open_redis(self._settings.broker, min(limit_s, self._settings.broker.socket_timeout_s))
        try:
            client.ping()
        except (redis.RedisError, OSError) as error:
            raise BrokerUnavailableError(f"the broker does not answer: {error}") from error
        finally:
            client.close()

    def close(self) -> None:
        """Send what is queued, as far as the broker takes it within one time limit, and end the thread."""
        self._queue.put(None)
        self._thread.join(self._settings.broker.socket_timeout_s + _PAUSE_S)

    def _run(self) -> None:
        self._app = _make_app(self._settings)
        while (wake := self._queue.get()) is not None:
            job_id, messages = wake
            reason = self._try_send(messages)
            if reason:
                PUBLISH_FAILURES.inc(len(messages))
                self._tell_lost(job_id, reason)
        self._app.close()

    def _try_send(self, messages: Sequence[Message]) -> str:
        """Empty if all were taken, else why not."""
        if time.monotonic() < self._paused_until:
            return self._reason
        try:
            for message in messages:
                self._send(message)
        except Exception as error:  # noqa: BLE001 - any refusal counts; an end of this thread would lose all later wake-ups
            self._reason = f"{type(error).__name__}: {error}"
            self._paused_until = time.monotonic() + _PAUSE_S
            return self._reason
        return ""

    def _send(self, message: Message) -> None:
        if self._app is None:
            raise AssertionError("the publisher's thread makes its app before it sends")
        self._app.send_task(message.task, args=list(message.args), queue=message.queue, ignore_result=True, retry=False)

    def _tell_lost(self, job_id: UUID, reason: str) -> None:
        self._log.warning("wake-up left to the sweeper", job=str(job_id), reason=reason)
        try:
            self._on_lost(job_id)
        except Exception:  # noqa: BLE001 - logged; an end of this thread would lose all later wake-ups
            self._log.exception("cannot note on the job that the broker is away", job=str(job_id))


def _make_app(settings: Settings) -> Celery:
    from celery import Celery  # noqa: PLC0415 - half a second and 20 MB that no import of a route should cost

    app = Celery("dermq-api", set_as_current=False)
    app.conf.update(celery_config(settings))
    return app
