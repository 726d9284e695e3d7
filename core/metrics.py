"""Prometheus metrics: one registry and the definitions that several rooms share. Base units, no job ids as labels.

Names follow prometheus.io/docs/practices/naming. A process exports what it imports: definitions cost nothing until used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from core.db.statistics import Backlog

CONTENT_TYPE = CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for every counter, which no dashboard reads
registry = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=registry)
PlatformCollector(registry=registry)
GCCollector(registry=registry)

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


class BacklogCollector(Collector):
    """Reads the backlog from the ledger when Prometheus asks, not before."""

    def __init__(self, read: Callable[[], Backlog]) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        backlog = self._read()
        jobs = GaugeMetricFamily("dermq_jobs", "Jobs by state.", labels=["state"])
        for state, count in sorted(backlog.jobs.items()):
            jobs.add_metric([state], count)
        yield jobs
        yield GaugeMetricFamily(
            "dermq_items_pending", "Items of started jobs that no worker holds.", value=backlog.items_pending
        )
        yield GaugeMetricFamily("dermq_items_in_flight", "Items that a worker holds.", value=backlog.items_in_flight)
        oldest = GaugeMetricFamily(
            "dermq_oldest_queued_job_timestamp_seconds",
            "When the oldest job that nothing has looked at came in; absent if none.",
        )
        if backlog.oldest_queued_at is not None:
            oldest.add_metric([], backlog.oldest_queued_at)
        yield oldest


def render(*extra: Collector) -> bytes:
    """The registry, and collectors that belong to one application only, in Prometheus' text format."""
    own = CollectorRegistry()
    for collector in extra:
        own.register(collector)
    return generate_latest(registry) + generate_latest(own)
