"""`python -m tests.chaos.points …`: a real worker that kills itself at a named point of its code, when it is told to.

DERMQ_TEST_FAULTS names a folder. A file there that is called like a point lets the next process that comes to it die, once, by
SIGKILL. The product knows nothing of this: the points are put around SQLAlchemy, the publisher and Celery from here.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from celery.worker.request import Request
from sqlalchemy import Connection, Engine, event

import worker.app
from core.messages import Message
from worker.__main__ import main
from worker.publish import make_publisher

FOLDER_VARIABLE = "DERMQ_TEST_FAULTS"
POINTS = ("before_commit", "after_commit", "before_publish", "after_publish", "before_acknowledge", "after_acknowledge")


def pass_point(name: str) -> None:
    """Die here if the point is armed; whoever removes the file first is the one."""
    try:
        (Path(os.environ[FOLDER_VARIABLE]) / name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def _around_commits() -> None:
    @event.listens_for(Engine, "commit")
    def before(connection: Connection) -> None:
        pass_point("before_commit")
        connection.info["dermq_committed"] = True

    @event.listens_for(Engine, "checkin")
    def after(_dbapi_connection: Any, record: Any) -> None:
        if record.info.pop("dermq_committed", False):
            pass_point("after_commit")


def _faulty_publisher(app: Any) -> Callable[[Iterable[Message]], None]:
    publish = make_publisher(app)

    def publish_or_die(messages: Iterable[Message]) -> None:
        listed = list(messages)
        if listed:
            pass_point("before_publish")
        publish(listed)
        if listed:
            pass_point("after_publish")

    return publish_or_die


def _around_acknowledgements() -> None:
    acknowledge = Request.acknowledge

    def acknowledge_or_die(request: Any) -> None:
        pass_point("before_acknowledge")
        acknowledge(request)
        pass_point("after_acknowledge")

    Request.acknowledge = acknowledge_or_die


if __name__ == "__main__":
    _around_commits()
    _around_acknowledgements()
    worker.app.make_publisher = _faulty_publisher  # type: ignore[attr-defined]
    sys.exit(main(sys.argv[1:]))
