"""`python -m worker` consumes; `python -m worker beat` rings the sweeper's bell."""

from __future__ import annotations

import sys

from core.logs import configure_logs
from core.settings import Settings
from worker.app import QUEUES, create_celery


def main(arguments: list[str]) -> int:
    """Start a Celery worker or beat with DermQ's settings; further arguments go to Celery."""
    settings = Settings()
    configure_logs(settings.log.level)
    app = create_celery(settings)
    verb, rest = (arguments[0], arguments[1:]) if arguments and not arguments[0].startswith("-") else ("worker", arguments)
    if verb == "worker":
        app.worker_main(
            ["worker", "--queues", ",".join(QUEUES), "--without-gossip", "--without-mingle", "--without-heartbeat", *rest]
        )
    elif verb == "beat":
        app.start(["beat", "--pidfile=", *rest])
    else:
        sys.stderr.write(f"python -m worker: expected `worker` or `beat`, got {verb!r}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
