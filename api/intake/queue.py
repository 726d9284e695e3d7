"""How long the queue is: said to whoever submits, if it is long."""

from __future__ import annotations

from api.resources import Resources
from core.db.engine import reading
from core.db.throughput import read_queue_seconds
from core.errors import DatabaseUnavailableError

LONG_S = 86_400.0


def long_queue_s(here: Resources) -> float | None:
    """Seconds of work that wait for the workers; None up to LONG_S, and where it is not known."""
    try:
        with reading(here.engine) as session:
            seconds = read_queue_seconds(session, here.clock.now(), here.settings.worker.chunk_items)
    except DatabaseUnavailableError:  # the job is stored, or the page shown, all the same
        return None
    return seconds if seconds is not None and seconds > LONG_S else None
