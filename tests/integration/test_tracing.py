"""One trace from the upload to the calls of Serving: over a real job in this process, and over OTLP from real processes."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from core.clock import ManualClock, SystemClock
from core.messages import CLASSIFY, PREPARE, Message
from core.settings import ServingSettings, Settings
from core.telemetry.otel import OtelTracer
from core.telemetry.spans import Kind
from core.telemetry.tracing import close_tracing, span, use_tracer
from tests.integration.api.conftest import Api, make_settings, running_api
from tests.support.servers import ROOT, accepts, free_port, running, running_broker, wait_until
from tests.support.stack import jpeg, worker_stack, write_zip
from worker.classify import take_turns
from worker.context import WorkerContext
from worker.sweep import sweep
from worker.tasks import run_prepare

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # the example of W3C Trace Context
UNSAMPLED = CALLER[:-2] + "00"


@dataclass
class Recorder(grpc.GenericRpcHandler):
    """Passes every call on to a real server, and keeps what metadata it came with."""

    address: str
    seen: list[tuple[str, str]] = field(default_factory=list)  # method, traceparent

    def __post_init__(self) -> None:
        self.channel = grpc.insecure_channel(self.address)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        found = dict(details.invocation_metadata)
        self.seen.append((details.method.rpartition("/")[2], found.get("traceparent", "")))
        forward = self.channel.unary_unary(details.method)
        return grpc.unary_unary_rpc_method_handler(lambda request, _: forward(request, timeout=10))


@pytest.fixture
def serving(serving_address: str) -> Iterator[Recorder]:
    recorder = Recorder(serving_address)
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[recorder])
    recorder.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield recorder
    server.stop(None).wait()
    recorder.channel.close()


@dataclass
class Traced:
    """API and worker in this process, their spans in memory; messages are delivered by hand."""

    api: Api
    context: WorkerContext
    exporter: InMemorySpanExporter
    tracer: OtelTracer
    sent: list[Message]

    def upload(self, archive: Path, traceparent: str) -> uuid.UUID:
        answer = self.api.client.put("/v1/jobs/a.zip", content=archive.read_bytes(), headers={"traceparent": traceparent})
        return uuid.UUID(answer.json()["id"])

    def lose_messages(self) -> None:
        """What is published is lost, and found by the sweeper."""
        self.sent.clear()
        assert isinstance(self.context.clock, ManualClock)
        self.context.clock.advance(120)
        sweep(self.context)

    def deliver(self, task: str) -> int:
        messages = [message for message in self.sent if message.task == task]
        self.sent.clear()
        for message in messages:
            if task == PREPARE:
                run_prepare(self.context, uuid.UUID(str(message.args[0])))
            else:
                take_turns(self.context)
        return len(messages)

    def spans(self) -> list[ReadableSpan]:
        self.tracer.flush()
        return list(self.exporter.get_finished_spans())


@contextmanager
def traced(folder: Path, address: str) -> Iterator[Traced]:
    exporter = InMemorySpanExporter()
    tracer = OtelTracer("test", exporter)
    use_tracer(tracer)
    settings: Settings = make_settings(folder, serving=ServingSettings(address=address, default_model="tiny", timeout_s=20))
    settings = replace(settings, worker=settings.worker.model_copy(update={"chunk_items": 16, "batch_items": 8}))
    sent: list[Message] = []
    with running_api(settings) as api:
        context = WorkerContext.open(settings, sent.extend)
        context.clock = ManualClock(SystemClock().now())
        yield Traced(api, context, exporter, tracer, sent)
        context.close()
    use_tracer(None)


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def test_one_trace_from_the_upload_to_serving_though_every_message_was_lost(serving: Recorder, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", ((f"{number:02}.jpg", jpeg(number)) for number in range(40)))
    with traced(tmp_path, serving.address) as here:
        here.upload(archive, CALLER)
        here.lose_messages()
        assert here.deliver(PREPARE) == 1
        here.lose_messages()
        assert here.deliver(CLASSIFY) == 3
        here.api.client.get("/healthz")
        spans = here.spans()
    assert {f"{span.context.trace_id:032x}" for span in spans} == {CALLER[3:35]}
    by_name: dict[str, list[ReadableSpan]] = {}
    for each in spans:
        by_name.setdefault(each.name, []).append(each)
    assert {name: len(found) for name, found in by_name.items()} == {
        "PUT /v1/jobs/{filename}": 1,
        "prepare": 1,
        "classify": 3,
        "Predict": 5,
    }
    (request,), (prepare,) = by_name["PUT /v1/jobs/{filename}"], by_name["prepare"]
    assert f"{parent_of(request):016x}" == CALLER[36:52]
    assert parent_of(prepare) == request.context.span_id
    assert {parent_of(span) for span in by_name["classify"]} == {prepare.context.span_id}
    assert {parent_of(span) for span in by_name["Predict"]} == {span.context.span_id for span in by_name["classify"]}
    assert sum(span.attributes["dermq.images"] for span in by_name["Predict"]) == 40
    assert all(span.end_time > span.start_time for span in spans)
    sent = {metadata for method, metadata in serving.seen if method == "Predict"}
    assert {f"00-{CALLER[3:35]}-{span.context.span_id:016x}-01" for span in by_name["Predict"]} <= sent
    assert "" not in sent, "describe carries the context, too"
    assert not any(".jpg" in str(span.attributes) for span in spans), "what a user's file is called is no business of a trace"


def test_a_caller_that_does_not_sample_is_respected_to_the_end(serving: Recorder, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", [("a.jpg", jpeg(1))])
    with traced(tmp_path, serving.address) as here:
        here.upload(archive, UNSAMPLED)
        here.lose_messages()
        here.deliver(PREPARE)
        here.deliver(CLASSIFY)
        assert here.spans() == []
    predicts = [metadata for method, metadata in serving.seen if method == "Predict"]
    assert predicts
    assert all(metadata.startswith(CALLER[:36]) and metadata.endswith("-00") for metadata in predicts)


def test_a_failed_call_of_serving_is_a_failed_span(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", [("a.jpg", jpeg(1))])
    with traced(tmp_path, f"127.0.0.1:{free_port()}") as here:
        here.context.client.timeout_s = 0.5
        here.upload(archive, "not a context")
        here.lose_messages()
        here.deliver(PREPARE)
        request, prepare = here.spans()
    assert request.parent is None
    assert parent_of(prepare) == request.context.span_id


class Collector:
    """Takes OTLP over HTTP, as the specification has it: POST /v1/traces, protobuf."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []  # service, span
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                request = ExportTraceServiceRequest.FromString(self._body())
                for resource in request.resource_spans:
                    attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
                    found = [span for scope in resource.scope_spans for span in scope.spans]
                    collector.spans += [(attributes["service.name"], span) for span in found]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _body(self) -> bytes:
                return self.rfile.read(int(self.headers["Content-Length"]))

            def log_message(self, *_: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def names(self) -> set[tuple[str, str]]:
        return {(service, span.name) for service, span in list(self.spans)}


def test_real_processes_export_over_otlp(serving_address: str, tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    archive = write_zip(tmp_path / "a.zip", ((f"{number:02}.jpg", jpeg(number)) for number in range(20)))
    collector, port = Collector(), free_port()
    with (
        running_broker("valkey", tmp_path / "broker") as broker_url,
        worker_stack(
            tmp_path, database_url=f"sqlite:///{tmp_path / 'l.db'}", broker_url=broker_url, serving_address=serving_address
        ) as stack,
    ):
        stack.env |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "DERMQ_API_PORT": str(port),
            "DERMQ_SERVING_DEFAULT_MODEL": "tiny",
        }
        stack.start_worker()
        stack.exits.enter_context(running([sys.executable, "-m", "api"], log=tmp_path / "api.log", env=stack.env))
        wait_until(lambda: accepts(port), timeout_s=30, what="the API")
        job = httpx2.put(
            f"http://127.0.0.1:{port}/v1/jobs/a.zip", content=archive.read_bytes(), headers={"traceparent": CALLER}
        )
        stack.wait(uuid.UUID(job.json()["id"]))
        wanted = {
            ("dermq-api", "PUT /v1/jobs/{filename}"),
            *(("dermq-worker", name) for name in ("prepare", "classify", "Predict")),
        }
        wait_until(lambda: wanted <= collector.names(), timeout_s=20, what="all spans at the collector")
    collector.close()
    spans = {span.span_id: span for _, span in collector.spans}
    assert {span.trace_id.hex() for span in spans.values()} == {CALLER[3:35]}
    chain = []
    found = next(each for each in spans.values() if each.name == "Predict")
    while found is not None:
        chain.append(found.name)
        found = spans.get(found.parent_span_id)
    assert chain == ["Predict", "classify", "prepare", "PUT /v1/jobs/{filename}"]


def run_python(code: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=env, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_is_imported_while_traces_are_off() -> None:
    code = """
import os, sys, api.app, worker.app, serving.client
from core.settings import Settings
from core.telemetry.tracing import close_tracing, configure_tracing, current_traceparent, preload_tracing
address = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
for env in ({}, address | {"OTEL_SDK_DISABLED": "true"}, address | {"DERMQ_TRACING_ENABLED": "false", "OTEL_SDK_DISABLED": ""}):
    os.environ.update(env)
    preload_tracing(Settings().tracing); configure_tracing(Settings().tracing, "x"); close_tracing()
# FastAPI and redis look at the API by themselves.
ours = ("core.telemetry.otel", "opentelemetry.sdk.trace", "opentelemetry.exporter")
print(current_traceparent(), [name for name in sys.modules if name.startswith(ours)])
"""
    assert run_python(code).strip() == "None []"


def test_processes_start_without_the_extra_and_say_what_is_missing() -> None:
    code = """
import sys
sys.modules["opentelemetry.sdk"] = sys.modules["opentelemetry.exporter"] = None  # as if the extra were not installed
from core.telemetry.logs import configure_logs
configure_logs("INFO"); sys.stderr = sys.stdout
import api.app, worker.app
from core.settings import Settings
from core.telemetry.tracing import configure_tracing, current_traceparent, preload_tracing
configure_logs("INFO")
preload_tracing(Settings().tracing); configure_tracing(Settings().tracing, "x")
print(current_traceparent())
"""
    said = run_python(code, DERMQ_TRACING_ENABLED="true")
    assert "tracing_not_installed" in said
    assert "dermq[tracing]" in said
    assert said.strip().endswith("None")


def test_close_does_not_wait_for_a_collector_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    use_tracer(OtelTracer("test"))
    with span("lost", Kind.CONSUMER):
        pass
    close_tracing()  # the test's own time limit is the judge; the SDK alone would try for ten seconds and more
