"""Prometheus metrics: the registry that each process has, and how a page is made of it. Base units, no job ids as labels.

Names follow prometheus.io/docs/practices/naming; docs/reference/metrics.md lists them. What a process measures is defined
where it is measured: api.metrics, worker.telemetry.metrics, worker.telemetry.ticks.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for every counter, which no dashboard reads
registry = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=registry)
PlatformCollector(registry=registry)
GCCollector(registry=registry)


def render(*extra: Collector) -> bytes:
    """The registry, and collectors that belong to one application only, in Prometheus' text format."""
    own = CollectorRegistry()
    for collector in extra:
        own.register(collector)
    return generate_latest(registry) + generate_latest(own)
