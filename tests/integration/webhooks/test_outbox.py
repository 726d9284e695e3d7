"""Messages in the ledger: written with what they tell of, tried again, given up; on both databases."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import Engine, func, select

from core.access.callers import local_caller
from core.db.access.tenants import create_tenant, delete_tenant, find_tenant
from core.db.engine import reading, transaction
from core.db.lifecycle import delete_job, request_cancel
from core.db.models import LOCAL_TENANT_ID
from core.db.versions import ModelAction, ModelOutcome, NewEvent, record_event
from core.db.webhooks.outbox import DISABLED_AFTER, KEPT_FOR, WAITS_S, Due, forget_old, secrets_of, settle, take_due
from core.db.webhooks.store import (
    MOST,
    NewWebhook,
    create_webhook,
    delete_webhook,
    get_webhook,
    list_deliveries,
    replay,
    rotate_secret,
)
from core.db.webhooks.tables import Webhook, WebhookDelivery
from core.errors import ConflictError, InvalidRequestError, NotFoundError
from core.webhooks import EventType
from tests.support.ledger import Ledger

CALLER = local_caller(LOCAL_TENANT_ID, "a test")
URL = "https://hooks.example/dermq"


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


def make(
    ledger: Ledger, *events: EventType, tenant_id: uuid.UUID = LOCAL_TENANT_ID, job_id: uuid.UUID | None = None
) -> uuid.UUID:
    new = NewWebhook(tenant_id, URL, frozenset(events), job_id)
    with transaction(ledger.engine) as session:
        return create_webhook(session, CALLER, new, ledger.clock.now()).id


def other_tenant(ledger: Ledger) -> uuid.UUID:
    with transaction(ledger.engine) as session:
        return create_tenant(session, CALLER, "other", ledger.clock.now()).id


def events_of(ledger: Ledger, webhook_id: uuid.UUID) -> list[str]:
    with reading(ledger.engine) as session:
        return [each.event for each in reversed(list_deliveries(session, webhook_id))]


def take(ledger: Ledger, limit: int = 10) -> list[Due]:
    with transaction(ledger.engine) as session:
        return take_due(session, ledger.clock.now(), limit)


def settled(ledger: Ledger, due: Due, status: int | None, wait_s: float | None = None) -> None:
    with transaction(ledger.engine) as session:
        settle(session, due, ledger.clock.now(), status=status, wait_s=wait_s)


def row(ledger: Ledger, webhook_id: uuid.UUID) -> Webhook:
    with reading(ledger.engine) as session:
        return session.get_one(Webhook, webhook_id)


def newest(ledger: Ledger, webhook_id: uuid.UUID) -> WebhookDelivery:
    with reading(ledger.engine) as session:
        return list_deliveries(session, webhook_id)[0]


def cancel_one(ledger: Ledger) -> None:
    job_id = ledger.submit()
    with transaction(ledger.engine) as session:
        request_cancel(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())


def test_a_job_tells_of_its_quarters_and_its_end(ledger: Ledger) -> None:
    webhook, ends = make(ledger), make(ledger, EventType.JOB_SUCCEEDED)
    job_id = ledger.start(items=16)
    while (claim := ledger.claim_next()) is not None:
        ledger.finish(claim)
    assert events_of(ledger, webhook) == ["job.progress"] * 3 + ["job.succeeded"]
    assert events_of(ledger, ends) == ["job.succeeded"]
    with reading(ledger.engine) as session:
        payloads = [each.payload for each in reversed(list_deliveries(session, webhook))]
    assert [each["data"].get("percent") for each in payloads] == [25, 50, 75, None]
    items = {"total": 16, "succeeded": 16, "failed": 0}
    assert payloads[-1]["data"] == {"job": str(job_id), "items": items, "error": None}
    assert "a.zip" not in str(payloads), "a file's name leaves the installation"


def test_a_cancelled_job_and_only_the_webhooks_that_it_concerns(ledger: Ledger) -> None:
    first, second = ledger.submit(), ledger.submit()
    mine, foreign, single = make(ledger), make(ledger, tenant_id=other_tenant(ledger)), make(ledger, job_id=second)
    for job_id in (first, second):
        with transaction(ledger.engine) as session:
            request_cancel(session, LOCAL_TENANT_ID, job_id, ledger.clock.now())
    assert [events_of(ledger, each) for each in (mine, foreign, single)] == [["job.cancelled"] * 2, [], ["job.cancelled"]]
    with transaction(ledger.engine) as session:
        delete_job(session, LOCAL_TENANT_ID, second, ledger.clock.now())
    with reading(ledger.engine) as session:
        assert session.scalar(select(func.count()).select_from(Webhook)) == 2, "the job's webhook goes with it"


def test_no_message_without_the_change_that_it_tells_of(ledger: Ledger) -> None:
    webhook, job_id = make(ledger), ledger.submit()
    with pytest.raises(NotFoundError), transaction(ledger.engine) as session:
        request_cancel(session, LOCAL_TENANT_ID, job_id, ledger.clock.now()) and get_webhook(session, uuid.uuid4())
    assert events_of(ledger, webhook) == []
    assert ledger.job(job_id).state == "queued"


def test_moves_of_a_model_are_told_to_all_tenants_refusals_to_none(ledger: Ledger) -> None:
    webhooks = make(ledger), make(ledger, EventType.MODEL_PROMOTED, tenant_id=other_tenant(ledger))
    move = NewEvent("ada", ModelAction.PROMOTE, "tiny", 2, "stable", 1)
    with transaction(ledger.engine) as session:
        record_event(session, move, ledger.clock.now())
        record_event(session, NewEvent("ada", ModelAction.PROMOTE, "tiny", 3, outcome=ModelOutcome.REFUSED), ledger.clock.now())
    assert [events_of(ledger, each) for each in webhooks] == [["model.promoted"]] * 2
    said = {"model": "tiny", "version": 2, "label": "stable", "previous": 1}
    assert newest(ledger, webhooks[0]).payload["data"] == said


def test_a_message_is_tried_again_later_each_time(ledger: Ledger) -> None:
    webhook = make(ledger)
    cancel_one(ledger)
    ids = set()
    for number, wait_s in enumerate(WAITS_S[:4], 1):
        [due] = take(ledger)
        assert take(ledger) == [], "whoever has taken it has it for a while"
        ids.add(due.id)
        settled(ledger, due, 500)
        delivery = newest(ledger, webhook)
        assert (delivery.attempts, delivery.last_status, delivery.state) == (number, 500, "pending")
        assert delivery.due_at is not None
        waits = (delivery.due_at - ledger.clock.now()).total_seconds()
        assert 0.8 * wait_s <= waits <= 1.2 * wait_s
        ledger.clock.advance(waits + 1)
    assert len(ids) == 1
    [due] = take(ledger)
    settled(ledger, due, 429, wait_s=40_000.0)
    delivery = newest(ledger, webhook)
    assert delivery.due_at == ledger.clock.now() + timedelta(seconds=40_000)
    ledger.clock.advance(40_000)
    [due] = take(ledger)
    settled(ledger, due, 204)
    assert (newest(ledger, webhook).state, newest(ledger, webhook).due_at) == ("delivered", None)
    assert row(ledger, webhook).failing_since is None


def test_after_the_last_try_a_message_has_failed_and_can_be_replayed(ledger: Ledger) -> None:
    webhook = make(ledger)
    cancel_one(ledger)
    for _ in range(len(WAITS_S) + 1):
        [due] = take(ledger)
        settled(ledger, due, None)
        with transaction(ledger.engine) as session:  # days of failure are for another test
            get_webhook(session, webhook).failing_since = None
        ledger.clock.advance(200_000)
    assert take(ledger) == []
    assert newest(ledger, webhook).state == "failed"
    with transaction(ledger.engine) as session:
        replay(session, CALLER, get_webhook(session, webhook), due.id, ledger.clock.now())
    [again] = take(ledger)
    assert again.id == due.id
    with transaction(ledger.engine) as session, pytest.raises(NotFoundError):
        replay(session, CALLER, get_webhook(session, webhook), uuid.uuid4(), ledger.clock.now())


@pytest.mark.parametrize("days", [0, 5], ids=["410", "days of failure"])
def test_a_webhook_is_disabled(ledger: Ledger, days: int) -> None:
    webhook = make(ledger)
    cancel_one(ledger)
    [due] = take(ledger)
    settled(ledger, due, 500 if days else 410)
    if days:
        assert row(ledger, webhook).disabled_at is None
        ledger.clock.advance(DISABLED_AFTER.total_seconds())
        [due] = take(ledger)
        settled(ledger, due, None)
    found = row(ledger, webhook)
    assert found.disabled_at == ledger.clock.now()
    assert ("5 days" if days else "410") in str(found.disabled_reason)
    cancel_one(ledger)
    assert len(events_of(ledger, webhook)) == 1, "nothing is written for it any more"
    assert newest(ledger, webhook).state == "failed"
    assert take(ledger) == []
    with transaction(ledger.engine) as session:
        replay(session, CALLER, get_webhook(session, webhook), due.id, ledger.clock.now())
    assert [each.id for each in take(ledger)] == [due.id]


def test_two_secrets_for_a_day_after_a_rotation(ledger: Ledger) -> None:
    webhook = make(ledger)
    before = row(ledger, webhook).secret
    with transaction(ledger.engine) as session:
        after = rotate_secret(session, CALLER, get_webhook(session, webhook), ledger.clock.now()).secret
    assert secrets_of(row(ledger, webhook), ledger.clock.now()) == (after, before)
    assert secrets_of(row(ledger, webhook), ledger.clock.now() + timedelta(hours=24)) == (after,)
    assert after not in repr(Due(webhook, webhook, URL, (after,), {}))


@pytest.mark.parametrize(("messages", "limit"), [(12, 8), (20, 5)], ids=["room for both", "a long backlog, a small round"])
def test_one_webhook_with_many_messages_does_not_keep_another_waiting(ledger: Ledger, messages: int, limit: int) -> None:
    many = make(ledger, EventType.JOB_CANCELLED)
    for _ in range(messages):
        cancel_one(ledger)
    other = make(ledger, EventType.JOB_CANCELLED)
    cancel_one(ledger)
    taken = [each.webhook_id for each in take(ledger, limit=limit)]
    assert (taken.count(many), taken.count(other)) == (4, 1)


def test_what_was_settled_long_ago_is_removed(ledger: Ledger) -> None:
    webhook = make(ledger)
    cancel_one(ledger)
    [due] = take(ledger)
    settled(ledger, due, 200)
    ledger.clock.advance(KEPT_FOR.total_seconds() + 1)
    cancel_one(ledger)
    with transaction(ledger.engine) as session:
        assert forget_old(session, ledger.clock.now()) == 1
    assert len(events_of(ledger, webhook)) == 1


def test_webhooks_end_with_their_tenant(ledger: Ledger) -> None:
    other = other_tenant(ledger)
    webhook = make(ledger, tenant_id=other)
    with pytest.raises(NotFoundError), reading(ledger.engine) as session:
        get_webhook(session, webhook, LOCAL_TENANT_ID)
    with pytest.raises(InvalidRequestError), transaction(ledger.engine) as session:
        create_webhook(session, CALLER, NewWebhook(other, "ftp://x"), ledger.clock.now())
    with pytest.raises(NotFoundError):
        make(ledger, tenant_id=other, job_id=ledger.submit())
    for _ in range(MOST - 1):
        make(ledger, tenant_id=other)
    with pytest.raises(ConflictError, match="50 webhooks"):
        make(ledger, tenant_id=other)
    with transaction(ledger.engine) as session:
        delete_webhook(session, CALLER, get_webhook(session, webhook), ledger.clock.now())
    with transaction(ledger.engine) as session:
        delete_tenant(session, CALLER, find_tenant(session, "other"), ledger.clock.now())
    with reading(ledger.engine) as session:
        assert session.scalar(select(func.count()).select_from(Webhook)) == 0
