"""The counters behind `--monitoring_config_file`, under TensorFlow Serving's names (prometheus_exporter.cc).

Names begin with a colon and counters have no `_total`, so the page is written here rather than by a library that knows better.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from serving.embedded.status import StatusError

DEFAULT_PATH = "/monitoring/prometheus/metrics"
_COUNT = ":tensorflow:serving:request_count"
_LATENCY = ":tensorflow:serving:request_latency"
_BOUNDS = tuple(10 * 1.8**number for number in range(33))  # microseconds: Buckets::Exponential(10, 1.8, 33), to 20 minutes


class Metrics:
    """How many requests ended how, and how long they took. Thread-safe."""

    def __init__(self, knows: Callable[[str], bool]) -> None:
        """Nothing has been counted.

        Args:
            knows: whether a name is a model's; others are not counted, or anybody could make up series.
        """
        self._knows = knows
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()  # model, status
        self._latencies: dict[tuple[str, str, str], list[float]] = {}  # model, API, entry point → per bucket, then sum

    @contextmanager
    def observe(self, model: str, entrypoint: str, api: str = "predict") -> Iterator[None]:
        """Count one request, and how it ends.

        Args:
            model: its name.
            entrypoint: GRPC or REST.
            api: what was asked for: predict, classify, regress or multiinference.
        """
        began, status = time.perf_counter(), "OK"
        try:
            yield
        except StatusError as error:
            status = error.code.name
            raise
        except Exception:
            status = "INTERNAL"
            raise
        finally:
            if self._knows(model):
                self._note((model, api, entrypoint), status, 1e6 * (time.perf_counter() - began))

    def _note(self, series: tuple[str, str, str], status: str, micros: float) -> None:
        with self._lock:
            self._counts[series[0], status] += 1
            buckets = self._latencies.setdefault(series, [0.0] * (len(_BOUNDS) + 2))
            buckets[sum(bound <= micros for bound in _BOUNDS)] += 1
            buckets[-1] += micros

    def page(self) -> str:
        """Prometheus's text format."""
        with self._lock:
            lines = [f"# TYPE {_COUNT} counter"]
            for (model, status), count in sorted(self._counts.items()):
                lines.append(f'{_COUNT}{{model_name="{_escape(model)}",status="{status}"}} {count}')
            lines.append(f"# TYPE {_LATENCY} histogram")
            for (model, api, entrypoint), buckets in sorted(self._latencies.items()):
                lines += _histogram(f'model_name="{_escape(model)}",API="{api}",entrypoint="{entrypoint}"', buckets)
        return "\n".join(lines) + "\n"


def _histogram(labels: str, buckets: list[float]) -> Iterator[str]:
    seen = 0
    for bound, count in zip((*(f"{bound:g}" for bound in _BOUNDS), "+Inf"), buckets[:-1], strict=True):
        seen += int(count)
        yield f'{_LATENCY}_bucket{{{labels},le="{bound}"}} {seen}'
    yield f"{_LATENCY}_sum{{{labels}}} {buckets[-1]:g}"
    yield f"{_LATENCY}_count{{{labels}}} {seen}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
