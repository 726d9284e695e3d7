"""What the API tells Prometheus: its requests, and jobs, items, work and capacity of the whole installation (the ledger)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from api.drift import DriftFigures
from core.capacity import Bottleneck, Recommendation, recommend_workers
from core.db.engine import reading
from core.db.processes import count_heard
from core.db.strays import count_strays
from core.db.throughput import Backlog, read_backlog, read_throughput
from core.errors import DatabaseUnavailableError
from core.settings import Settings
from core.storage.factory import local_folder
from core.storage.local import closest_there
from core.telemetry.metrics import registry, render

HTTP_REQUESTS = Counter(
    "dermq_http_requests", "Answered HTTP requests.", ["method", "route", "status"], registry=registry
)  # exported as dermq_http_requests_total
HTTP_SECONDS = Histogram(
    "dermq_http_request_duration_seconds",
    "Time from a request's first byte to its answer's last one, uploads and streams included.",
    ["method", "route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300),
    registry=registry,
)
UPLOAD_BYTES = Counter("dermq_upload_bytes", "Bytes of archives and images received.", registry=registry)
PUBLISH_FAILURES = Counter(
    "dermq_publish_failures", "Wake-up messages that the broker did not take; the sweeper makes up for them.", registry=registry
)
ITEMS = Counter(
    "dermq_items",
    "Items with an outcome, committed by this API: single images. `code` is empty for succeeded ones.",
    ["outcome", "code"],
    registry=registry,
)
CLASSIFICATIONS = Counter(
    "dermq_classifications",
    "Requests to classify a single image, by way: `direct`, in the API itself, or `queue`, by a worker.",
    ["way"],
    registry=registry,
)


class LedgerCollector(Collector):
    """Backlog and capacity as the ledger had them a moment ago. Read before the page is made: it has all of it or nothing."""

    def __init__(
        self, backlog: Backlog, recommendation: Recommendation, heard: int = 0, left_over: tuple[int, int] = (0, 0)
    ) -> None:
        self._backlog = backlog
        self._left_over = left_over
        self._heard = heard
        self._advice = recommendation

    @classmethod
    def read(cls, engine: Engine, settings: Settings, now: datetime) -> LedgerCollector:
        """Ask the ledger.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        with reading(engine) as session:
            backlog = read_backlog(session)
            throughput = read_throughput(session, now)
            heard, _ = count_heard(session, now - timedelta(seconds=settings.worker.lease_s))
            left_over = count_strays(session)
        advice = recommend_workers(backlog, throughput, settings.metrics, settings.worker.chunk_items)
        return cls(backlog, advice, heard, left_over)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from self._backlog_families()
        yield from self._capacity_families()

    def _backlog_families(self) -> Iterator[GaugeMetricFamily]:
        backlog = self._backlog
        yield _by_label("dermq_jobs", "Jobs by state.", "state", backlog.jobs)
        yield _by_label(
            "dermq_jobs_waiting",
            "Unfinished jobs that wait for a dependency, by which one is unavailable.",
            "awaited",
            backlog.jobs_waiting,
        )
        yield _gauge("dermq_items_pending", "Items of started jobs that no worker holds.", backlog.items_pending)
        yield _gauge("dermq_items_in_flight", "Items that a worker holds.", backlog.items_in_flight)
        yield _gauge("dermq_chunks_running", "Chunks that a worker process holds: processes at work.", backlog.chunks_running)
        yield _gauge(
            "dermq_worker_processes_heard",
            "Worker processes that gave a sign of life in the ledger within a lease.",
            self._heard,
        )
        strays, tombstones = self._left_over
        yield _gauge("dermq_storage_strays", "Places in the storage that no job knows of, as the last scans met them.", strays)
        yield _gauge("dermq_storage_tombstones", "Places in the storage that are to be deleted.", tombstones)
        yield _gauge("dermq_deleted_jobs", "Deleted jobs of which the sweep has rows left to remove.", backlog.deleted_jobs)
        yield _instant(
            "dermq_oldest_queued_job_timestamp_seconds",
            "When the oldest job that nothing has looked at came in; absent if none.",
            backlog.oldest_queued_at,
        )
        yield _instant(
            "dermq_stalest_job_timestamp_seconds",
            "Of the running jobs, when the one that has stood still for longest last moved; absent if none runs.",
            backlog.stalest_progress_at,
        )

    def _capacity_families(self) -> Iterator[GaugeMetricFamily]:
        advice = self._advice
        yield _gauge(
            "dermq_work_seconds_pending",
            "Seconds that one worker process would need for everything pending and in flight.",
            advice.work_s,
        )
        yield _gauge("dermq_item_seconds", "A worker process's seconds for one item: measured, or the default.", advice.item_s)
        yield _gauge("dermq_item_seconds_measured", "1 if it was measured, 0 if it is the default.", float(advice.is_measured))
        yield _by_label(
            "dermq_worker_time_share",
            "Share of the measured time that workers waited for Serving, or for a free core.",
            "waiting_for",
            {"serving": advice.serving_share, "core": advice.core_share},
        )
        yield _by_label(
            "dermq_bottleneck",
            "1 for what limits throughput now, else 0.",
            "part",
            {str(part): float(part is advice.bottleneck) for part in Bottleneck},
        )
        yield _gauge("dermq_workers_recommended", "Worker processes worth running.", advice.workers)


class StorageCollector(Collector):
    """Free space in the folder of the objects; nothing for S3."""

    def __init__(self, storage_url: str) -> None:
        self._folder = local_folder(storage_url) if storage_url.startswith("file:") else None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        place = self._folder
        if place is None:
            return
        try:
            usage = shutil.disk_usage(closest_there(place))
        except OSError:
            return
        yield _gauge("dermq_storage_size_bytes", "Size of the file system that holds the objects.", usage.total)
        yield _gauge("dermq_storage_free_bytes", "Free space in the file system that holds the objects.", usage.free)


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, value=value)


def _instant(name: str, help_text: str, value: float | None) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text)
    if value is not None:
        family.add_metric([], value)
    return family


def _by_label(name: str, help_text: str, label: str, values: dict[str, int] | dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for each, value in sorted(values.items()):
        family.add_metric([each], value)
    return family


def render_page(settings: Settings, engine: Engine, drift: DriftFigures, now: datetime) -> bytes:
    """The page for Prometheus: this process, storage, and the ledger's figures; without the database, only the former."""
    storage = StorageCollector(settings.storage_url)
    try:
        return render(storage, LedgerCollector.read(engine, settings, now), drift.read(engine, now))
    except DatabaseUnavailableError:
        return render(storage)
