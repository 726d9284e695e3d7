"""Metrics, from where the processes declare them."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

import api.drift
import api.metrics
import worker.telemetry.exposition
import worker.telemetry.metrics
import worker.telemetry.ticks
from core.capacity import recommend_workers
from core.db.models import JobState
from core.db.throughput import DEPENDENCIES, Backlog
from core.settings import MetricsSettings
from docs.generate.markdown import code, codes, sentence, table

_HEAD = ("metric", "type", "labels", "meaning")
_MANY = 7  # more values of a label than this are not listed: error codes have a page of their own
_PRESENT = Backlog(
    jobs=dict.fromkeys(map(str, JobState), 0),
    items_pending=0,
    items_in_flight=0,
    oldest_queued_at=None,
    jobs_waiting=dict.fromkeys(DEPENDENCIES, 0),
)


def api_section() -> str:
    """Of the API's page: requests, and the whole ledger."""
    requests = [each for each in vars(api.metrics).values() if isinstance(each, MetricWrapperBase)]
    advice = recommend_workers(_PRESENT, None, MetricsSettings(), 1)
    families = [
        *api.metrics.LedgerCollector(_PRESENT, advice).collect(),
        *api.metrics.StorageCollector("file:///").collect(),
        *api.drift.DriftCollector([]).collect(),
    ]
    return table(_HEAD, [*map(_declared, requests), *_collected(families)])


def worker_section() -> str:
    """Of a worker's page: the metrics of its children in shared memory."""
    return table(_HEAD, _collected(worker.telemetry.exposition.WorkerCollector(1).collect()))


def beat_section() -> str:
    """Of beat's page."""
    return table(
        _HEAD, [_declared(each) for each in vars(worker.telemetry.ticks).values() if isinstance(each, MetricWrapperBase)]
    )


def _declared(metric: MetricWrapperBase) -> tuple[str, str, str, str]:
    """prometheus_client keeps no public record of the labels of a metric that has counted nothing yet."""
    name = metric._name + ("_total" if metric._type == "counter" else "")
    return code(name), str(metric._type), codes(metric._labelnames), sentence(metric._documentation)


def _collected(families: Iterable[Metric]) -> list[tuple[str, str, str, str]]:
    rows = []
    for family in families:
        name = family.name + ("_total" if family.type == "counter" else "")
        rows.append((code(name), family.type, "; ".join(_labels(family)), sentence(family.documentation)))
    return rows


def _labels(family: Metric) -> list[str]:
    """Names of the labels, with their values where all of them are known and few."""
    values: dict[str, list[str]] = {name: [] for name in getattr(family, "_labelnames", ())}
    for sample in family.samples:
        for label, value in sample.labels.items():
            if label != "le":
                values.setdefault(label, []).append(value)
    return [_label(name, list(dict.fromkeys(found))) for name, found in values.items()]


def _label(name: str, values: list[str]) -> str:
    known = [value for value in values if value]
    return f"{code(name)}: {codes(known)}" if 1 < len(known) <= _MANY else code(name)
