"""The publisher's thread outlasts every failure, and holds no more wake-up messages than its limit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import UUID

import pytest

from api import publisher as module
from api.metrics import PUBLISH_FAILURES
from api.publisher import Publisher
from core.ids import new_id
from core.messages import prepare_message
from core.settings import BrokerSettings, Settings
from tests.support.servers import free_port, wait_until


def failures() -> float:
    return PUBLISH_FAILURES._value.get()


class Notes:
    """Stands for the ledger that notes lost wake-ups; can be made to wait or to fail."""

    def __init__(self) -> None:
        self.jobs: list[UUID] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.error: Exception | None = None

    def __call__(self, job: UUID) -> None:
        self.jobs.append(job)
        self.may_go_on.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def lost(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A publisher whose broker is not there."""
    monkeypatch.setattr(module, "_WAITING_LIMIT", 2)
    broker = BrokerSettings(url=f"redis://127.0.0.1:{free_port()}/0", socket_timeout_s=1.0)
    publisher = Publisher(Settings(broker=broker), notes)
    yield publisher
    notes.may_go_on.set()
    publisher.close()
    assert not publisher._thread.is_alive()


def send(publisher: Publisher) -> UUID:
    job = new_id()
    publisher.send_soon(job, [prepare_message(job, interactive=False)])
    return job


def test_what_is_beyond_the_limit_is_left_to_the_sweeper(lost: Publisher, notes: Notes) -> None:
    before = failures()
    notes.may_go_on.clear()
    first = send(lost)
    wait_until(lambda: notes.jobs == [first], timeout_s=60, what="the thread noting the first wake-up")
    second, third = send(lost), send(lost)
    assert failures() - before == 1
    send(lost)  # returns at once; no place for it
    assert failures() - before == 2
    notes.may_go_on.set()
    wait_until(lambda: notes.jobs == [first, second, third], timeout_s=60, what="the two that were held")
    assert failures() - before == 4


def test_a_ledger_that_fails_does_not_end_the_thread(lost: Publisher, notes: Notes) -> None:
    notes.error = RuntimeError("the ledger is locked")
    first = send(lost)
    wait_until(lambda: notes.jobs == [first], timeout_s=60, what="the first wake-up")
    second = send(lost)
    wait_until(lambda: notes.jobs == [first, second], timeout_s=60, what="the second wake-up, noted by the same thread")


def test_a_change_without_messages_sends_none(lost: Publisher, notes: Notes) -> None:
    before = failures()
    lost.send_soon(new_id(), [])
    last = send(lost)
    wait_until(lambda: notes.jobs == [last], timeout_s=60, what="the one with a message")
    assert failures() - before == 1
