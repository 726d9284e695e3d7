"""The worker's page for Prometheus: what its processes measured, and what they are. Imported where there is a page only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from core.telemetry.metrics import render
from worker.telemetry import metrics

_FAMILIES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}


class WorkerCollector(Collector):
    """Reads the shared values when Prometheus asks."""

    def __init__(self, processes: int) -> None:
        self._processes = processes

    def collect(self) -> Iterator[Metric]:
        for each in metrics.EXPORTED:
            family: Metric = _FAMILIES[each.kind](each.name, each.help_text)
            for sample in each.samples():
                family.add_sample(each.name + sample.suffix, sample.labels, sample.value)
            yield family
        yield from self._processes_of()

    def _processes_of(self) -> Iterator[Metric]:
        memory = GaugeMetricFamily(
            "dermq_worker_process_resident_memory_bytes", "Resident memory of each child process.", labels=["process"]
        )
        alive = 0
        for number, pid in enumerate(metrics.PID.by_process()[1:]):
            resident = _resident_bytes(int(pid)) if pid else None
            if resident is not None:
                alive += 1
                memory.add_metric([str(number)], resident)
        yield memory
        yield GaugeMetricFamily("dermq_worker_processes", "Child processes that are alive.", value=alive)
        yield GaugeMetricFamily(
            "dermq_worker_processes_configured", "Child processes that there should be.", value=self._processes
        )


def make_page(processes: int) -> bytes:
    """The page of a worker with so many children (configured)."""
    return render(WorkerCollector(processes))


def _resident_bytes(pid: int) -> int | None:
    """proc(5), statm; None if there is no such child of this process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return None
    mine = int(stat[1]) == os.getpid() and stat[0] != "Z"
    return pages * os.sysconf("SC_PAGE_SIZE") if mine else None
