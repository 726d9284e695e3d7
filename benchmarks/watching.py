"""`python -m benchmarks.watching ARCHIVE.zip`: what metrics and traces cost a worker, as ratios within one run.

One process prepares and classifies the same archive again and again, with the real ledger (SQLite), the real storage and the
embedded model server; nothing is counted, or counted, or counted and traced (spans exported over OTLP to a collector that
drops them), in turn. CPU seconds of the worker are compared: they do not depend on who else uses the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from core.clock import SystemClock
from core.db.engine import transaction
from core.db.jobs import NewJob, create_job
from core.db.models import LOCAL_TENANT_ID
from core.db.schema.migrate import upgrade
from core.messages import Message
from core.settings import ApiSettings, DataSettings, ServingSettings, Settings
from core.telemetry.otel import OtelTracer
from core.telemetry.tracing import close_tracing, use_tracer
from serving.lifecycle.proving import private_server
from serving.repository import ModelRepository
from worker import classify
from worker.context import WorkerContext
from worker.prepare import prepare_job
from worker.telemetry import metrics, stopwatch

MODELS = Path(__file__).resolve().parents[1] / "serving" / "models"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="a ZIP of JPEGs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chunks", type=int, default=8, help="of 256 images, in each round")
    chosen = parser.parse_args()
    version = ModelRepository(MODELS).version("starter", 1)
    with tempfile.TemporaryDirectory() as folder, private_server(version) as client:
        settings = replace(
            Settings(api=ApiSettings(source_roots=(chosen.archive.resolve().parent,))),
            data=DataSettings(data_dir=Path(folder)),
            serving=ServingSettings(address=client.address),
        )
        sent: list[Message] = []
        context = WorkerContext.open(settings, sent.extend)
        upgrade(context.engine)
        measure(context, chosen)
        context.close()


def measure(context: WorkerContext, chosen: argparse.Namespace) -> None:
    """Alternate the ways, so that a busy minute of the machine hits all."""
    ways: dict[str, Callable[[], object]] = {"nothing": _unwatched, "metrics": _counted, "metrics and traces": _traced}
    spent: dict[str, list[float]] = {way: [] for way in ways}
    run_chunks(context, chosen.archive, chosen.chunks)  # the first reads from a cold disk
    for _ in range(chosen.rounds):
        for way, watched in ways.items():
            with watched():  # type: ignore[attr-defined]
                spent[way].append(run_chunks(context, chosen.archive, chosen.chunks))
    base = statistics.median(spent["nothing"])
    for way, seconds in spent.items():
        each = statistics.median(seconds)
        ratio, best = each / base, min(seconds) / min(spent["nothing"])
        print(f"{way:<20} {1e3 * each:7.4f} ms CPU an image   {ratio:.4f} of nothing   ({best:.4f} best)")


def run_chunks(context: WorkerContext, archive: Path, chunks: int) -> float:
    """One job, its first chunks; returns CPU seconds for an image."""
    job_id = _submit(context, archive)
    prepare_job(context, job_id)
    began = time.process_time()
    for chunk_no in range(chunks):
        with metrics.observed_task("classify"):
            classify.classify_chunk(context, job_id, chunk_no)
    return (time.process_time() - began) / (chunks * context.settings.worker.chunk_items)


def _submit(context: WorkerContext, archive: Path) -> uuid.UUID:
    source = {"kind": "path", "path": str(archive.resolve())}
    new = NewJob(tenant_id=LOCAL_TENANT_ID, name=archive.name, source=source, model="starter", version=1)
    with transaction(context.engine) as session:
        return create_job(session, new, SystemClock().now()).id


@contextmanager
def _unwatched() -> Iterator[None]:
    """The clocks still run (three readings an image); nothing is added up, and the scheduler's account is not read."""
    add, put, read = metrics.values.add, metrics.values.put, stopwatch.read_core_seconds
    nothing = stopwatch.CoreSeconds(0.0, 0.0)
    metrics.values.add = lambda *_: None  # type: ignore[method-assign]
    metrics.values.put = lambda *_: None  # type: ignore[method-assign]
    metrics.read_core_seconds = stopwatch.read_core_seconds = lambda: nothing  # type: ignore[attr-defined]
    try:
        yield
    finally:
        metrics.values.add, metrics.values.put = add, put  # type: ignore[method-assign]
        metrics.read_core_seconds = stopwatch.read_core_seconds = read  # type: ignore[attr-defined]


@contextmanager
def _counted() -> Iterator[None]:
    yield


@contextmanager
def _traced() -> Iterator[None]:
    with _collector() as url:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
        use_tracer(OtelTracer("benchmark"))
        try:
            yield
        finally:
            close_tracing()
            del os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]


@contextmanager
def _collector() -> Iterator[str]:
    class Dropping(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Dropping)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    main()
