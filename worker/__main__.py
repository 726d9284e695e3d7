"""`python -m worker` consumes; `python -m worker beat` rings the sweeper's bell."""

from __future__ import annotations

import sys

from core.logs import configure_logs
from core.messages import QUEUES
from core.settings import Settings


def main(arguments: list[str]) -> int:
    """Start a Celery worker or beat with DermQ's settings; further arguments go to Celery."""
    settings = Settings()
    configure_logs(settings.log.level)
    verb, rest = (arguments[0], arguments[1:]) if arguments and not arguments[0].startswith("-") else ("worker", arguments)
    if verb == "worker":
        run_worker(settings, rest)
    elif verb == "beat":
        run_beat(settings, rest)
    else:
        sys.stderr.write(f"python -m worker: expected `worker` or `beat`, got {verb!r}\n")
        return 2
    return 0


def run_worker(settings: Settings, arguments: list[str]) -> None:
    """Consume all queues, in their order, until told to stop."""
    from worker.app import create_celery  # noqa: PLC0415 - beat shall not carry what the tasks import

    queues = ",".join(QUEUES)
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    create_celery(settings).worker_main(["worker", "--queues", queues, *alone, *arguments])


def run_beat(settings: Settings, arguments: list[str]) -> None:
    """Ring until told to stop."""
    from worker.beat import create_beat  # noqa: PLC0415 - as above

    create_beat(settings).start(["beat", "--pidfile=", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
