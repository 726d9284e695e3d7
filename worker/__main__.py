"""`python -m worker` consumes; `python -m worker beat` sends scheduler ticks; `python -m worker health` probes both."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from worker.telemetry import health

if TYPE_CHECKING:
    from core.settings import Settings


def main(arguments: list[str]) -> int:
    """Start a Celery worker or beat with DermQ's settings; further arguments go to Celery."""
    if arguments[:1] == ["health"]:  # before anything heavy is imported: probes run often
        return health.main(arguments[1:])
    from core.environment import start_process  # noqa: PLC0415
    from worker.telemetry.celerylogs import keep_celery_from_logs  # noqa: PLC0415

    settings = start_process()
    keep_celery_from_logs()
    verb, rest = (arguments[0], arguments[1:]) if arguments and not arguments[0].startswith("-") else ("worker", arguments)
    if verb == "worker":
        run_worker(settings, rest)
    elif verb == "beat":
        run_beat(settings, rest)
    else:
        sys.stderr.write(f"python -m worker: expected `worker`, `beat` or `health`, got {verb!r}\n")
        return 2
    return 0


def run_worker(settings: Settings, arguments: list[str]) -> None:
    """Consume all queues, in their order, until the process is asked to stop."""
    from core.messages import QUEUES  # noqa: PLC0415
    from core.telemetry.tracing import preload_tracing  # noqa: PLC0415
    from worker.app import create_celery  # noqa: PLC0415 - beat shall not carry what the tasks import

    alone = ["--without-gossip", "--without-mingle"]
    if not settings.worker.events:
        alone.append("--without-heartbeat")  # an event, too
    preload_tracing(settings.tracing)
    app = create_celery(settings)
    if settings.metrics.port:
        from core.telemetry.metricsserver import serve_metrics  # noqa: PLC0415 - megabytes that nobody carries who shows no page
        from worker.telemetry.exposition import make_page  # noqa: PLC0415

        serve_metrics(settings.metrics, lambda: make_page(app.conf.worker_concurrency))
    app.worker_main(["worker", "--queues", ",".join(QUEUES), *alone, *arguments])


def run_beat(settings: Settings, arguments: list[str]) -> None:
    """Send scheduler ticks until the process is asked to stop."""
    from worker.beat import create_beat  # noqa: PLC0415 - as above

    app = create_beat(settings)
    if settings.metrics.port:
        from core.telemetry.metricsserver import serve_metrics  # noqa: PLC0415 - as above
        from worker.telemetry.ticks import count_ticks, make_page  # noqa: PLC0415

        count_ticks()
        serve_metrics(settings.metrics, make_page)
    app.start(["beat", "--pidfile=", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
