"""Messages on their way: the sweep's duty, a real HTTP receiver, and the receiver of examples/."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import re
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from standardwebhooks import Webhook as Verifier

from core.access.callers import local_caller
from core.clock import SystemClock
from core.db.engine import reading, transaction
from core.db.jobs import NewJob, create_job
from core.db.lifecycle import request_cancel
from core.db.models import LOCAL_TENANT_ID
from core.db.webhooks.store import NewWebhook, create_webhook, get_webhook, list_deliveries, replay, rotate_secret
from core.db.webhooks.tables import Webhook, WebhookDelivery
from core.egress import sending
from core.settings import DatabaseSettings, EgressSettings, Settings, StorageSettings
from tests.support.httpserver import QuietHandler, serving_http
from tests.support.servers import ROOT, free_port, running, wait_until
from worker.context import WorkerContext
from worker.maintenance import webhooks
from worker.maintenance.webhooks import deliver_webhooks

CALLER = local_caller(LOCAL_TENANT_ID, "a test")


@dataclass
class Receiver:
    """Answers each POST with the next status, or with what `answer` writes; keeps what came."""

    statuses: list[int] = field(default_factory=lambda: [204])
    answer: Callable[[http.server.BaseHTTPRequestHandler], None] | None = None
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            if receiver.answer is not None:
                receiver.answer(self)
                return
            self.send_response(receiver.statuses[min(len(receiver.got), len(receiver.statuses)) - 1])
            self.send_header("Location", f"{receiver.url}/elsewhere")
            self.end_headers()

    with serving_http(Handler) as port:
        receiver.url = f"http://127.0.0.1:{port}"
        yield receiver


@pytest.fixture
def context(engine: Engine, database_url: str, tmp_path: Path) -> Iterator[WorkerContext]:
    settings = Settings(
        database=DatabaseSettings(url=database_url),
        storage=StorageSettings(url=(tmp_path / "objects").as_uri()),
        egress=EgressSettings(networks=("127.0.0.0/8",)),
    )
    opened = WorkerContext.open(settings, list)
    yield opened
    opened.close()


def make(context: WorkerContext, url: str) -> Webhook:
    with transaction(context.engine) as session:
        return create_webhook(session, CALLER, NewWebhook(LOCAL_TENANT_ID, url), SystemClock().now())


def cancel_one(context: WorkerContext) -> uuid.UUID:
    now = SystemClock().now()
    with transaction(context.engine) as session:
        new = NewJob(LOCAL_TENANT_ID, "patient-7.zip", {"kind": "path", "path": "/patient-7.zip"}, "tiny")
        job_id = create_job(session, new, now).id
        request_cancel(session, LOCAL_TENANT_ID, job_id, now)
    return job_id


def newest(context: WorkerContext, webhook: Webhook) -> WebhookDelivery:
    with reading(context.engine) as session:
        return list_deliveries(session, webhook.id)[0]


def test_no_proxy_of_the_environment_is_asked(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would look up the name again, and could be led elsewhere than to the address that was checked."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with receiving(Receiver()) as receiver:
        make(context, receiver.url)
        cancel_one(context)
        deliver_webhooks(context)
    assert len(receiver.got) == 1


def test_a_message_arrives_signed_and_once(context: WorkerContext) -> None:
    with receiving(Receiver()) as receiver:
        webhook = make(context, f"{receiver.url}/dermq?ward=3")
        job_id = cancel_one(context)
        deliver_webhooks(context)
        deliver_webhooks(context)
    [(headers, body)] = receiver.got
    assert Verifier(webhook.secret).verify(body.decode(), headers)["data"]["job"] == str(job_id)
    delivery = newest(context, webhook)
    assert headers["webhook-id"] == f"msg_{delivery.id}"
    assert headers["content-type"] == "application/json"
    assert b"patient" not in body
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 1, 204)


def test_a_failure_waits_and_a_replay_comes_at_once_with_the_same_id(context: WorkerContext) -> None:
    with receiving(Receiver([500, 204])) as receiver:
        webhook = make(context, receiver.url)
        cancel_one(context)
        deliver_webhooks(context)
        deliver_webhooks(context)
        assert len(receiver.got) == 1
        failed = newest(context, webhook)
        assert (failed.state, failed.last_status) == ("pending", 500)
        with transaction(context.engine) as session:
            rotate_secret(session, CALLER, get_webhook(session, webhook.id), SystemClock().now())
            replay(session, CALLER, get_webhook(session, webhook.id), failed.id, SystemClock().now())
        deliver_webhooks(context)
    (first, _), (second, body) = receiver.got
    assert first["webhook-id"] == second["webhook-id"]
    assert len(second["webhook-signature"].split()) == 2
    Verifier(webhook.secret).verify(body.decode(), second)  # who has the secret of before goes on
    assert newest(context, webhook).state == "delivered"


def test_a_redirect_is_not_followed(context: WorkerContext) -> None:
    with receiving(Receiver([302])) as receiver:
        webhook = make(context, receiver.url)
        cancel_one(context)
        deliver_webhooks(context)
    assert len(receiver.got) == 1
    assert newest(context, webhook).last_status == 302


def test_gone_disables(context: WorkerContext) -> None:
    with receiving(Receiver([410])) as receiver:
        webhook = make(context, receiver.url)
        cancel_one(context)
        deliver_webhooks(context)
    with reading(context.engine) as session:
        assert session.get_one(Webhook, webhook.id).disabled_at is not None


def test_what_leads_inside_is_not_asked_and_nobody_there_is_tried_again(context: WorkerContext) -> None:
    nobody, inside = (
        make(context, f"http://127.0.0.1:{free_port()}/"),
        make(context, "https://169.254.169.254/latest/meta-data"),
    )
    cancel_one(context)
    deliver_webhooks(context)
    assert "ConnectionRefusedError" in str(newest(context, nobody).last_error)
    assert "not on the public internet" in str(newest(context, inside).last_error)
    assert newest(context, inside).state == newest(context, nobody).state == "pending"


def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
    try:
        for _ in range(100):
            handler.wfile.write(b"H")
            time.sleep(0.1)
    except OSError:
        pass


def test_a_receiver_that_answers_byte_by_byte_ends_in_time(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.6)
    with receiving(Receiver(answer=drip)) as receiver:
        webhook = make(context, receiver.url)
        cancel_one(context)
        deliver_webhooks(context)
        assert newest(context, webhook).attempts == 1
        assert newest(context, webhook).last_status is None


def test_a_receiver_that_spends_the_time_before_it_is_connected_gets_no_more(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a handshake of TLS may, which has a time of its own."""
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.3)

    class Slow(sending._Pinned):
        def connect(self) -> None:
            time.sleep(0.5)
            super().connect()

    monkeypatch.setattr(sending, "_Pinned", Slow)
    with receiving(Receiver(answer=drip)) as receiver:
        webhook = make(context, receiver.url)
        cancel_one(context)
        deliver_webhooks(context)
        assert newest(context, webhook).last_error == "TimeoutError: it took longer than 0.3 s"
        assert receiver.got == []


def forged(port: int, stamp: str, signature: str) -> int:
    """The status of an answer to a message that nobody has signed; the headers go as Latin-1."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/", b"{}", {"webhook-id": "1", "webhook-timestamp": stamp, "webhook-signature": signature})
    with contextlib.closing(connection):
        return connection.getresponse().status


def test_a_name_that_is_not_resolved_is_waited_for_no_longer_than_an_answer(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, resolve = threading.Event(), socket.getaddrinfo

    def resolve_late(host: str, *arguments: Any, **more: Any) -> Any:
        if host == "slow.example":
            assert goes_on.wait(30)
        return resolve(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_late)
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.3)
    slow = make(context, "https://slow.example/")
    cancel_one(context)
    deliver_webhooks(context)
    assert not goes_on.is_set()
    goes_on.set()
    delivery = newest(context, slow)
    assert (delivery.state, delivery.last_status) == ("pending", None)
    assert delivery.last_error == "TimeoutError: the name 'slow.example' was not resolved within 0.3 s"


def test_the_receiver_of_the_examples_believes_what_is_signed(context: WorkerContext, tmp_path: Path) -> None:
    port, secret_file, log = free_port(), tmp_path / "secret.txt", tmp_path / "receiver.log"
    webhook = make(context, f"http://127.0.0.1:{port}/")
    forger = make(context, f"http://127.0.0.1:{port}/forged")
    secret_file.write_text(webhook.secret)
    command = [sys.executable, str(ROOT / "examples" / "webhook_receiver.py"), "--port", str(port)]
    with running(command, log=log, env={"WEBHOOK_SECRET_FILE": str(secret_file)}):
        wait_until(lambda: "listening" in log.read_text(), timeout_s=30, what="the receiver")
        now = str(int(time.time()))
        assert [forged(port, now, "v1,\xe9"), forged(port, "\xb2", "v1,AAAA")] == [401, 401]
        job_id = cancel_one(context)
        deliver_webhooks(context)
        wait_until(lambda: "job.cancelled" in log.read_text(), timeout_s=30, what="the message")
    assert len(re.findall("job.cancelled", log.read_text())) == 1
    assert str(job_id) in log.read_text()
    assert (newest(context, webhook).last_status, newest(context, forger).last_status) == (204, 401)
    assert json.loads(log.read_text().splitlines()[-1].partition(" ")[2])["job"] == str(job_id)
