"""`dermq webhooks`: addresses that messages about jobs and models are sent to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.helpstyle import PlainTyper
from cli.models.operator import ByOption
from cli.options import DataDirOption, JsonOption, WhoseOption

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sqlalchemy.orm import Session

    from core.db.webhooks.tables import Webhook, WebhookDelivery

webhooks = PlainTyper(
    no_args_is_help=True,
    help="Make, list, rotate and delete webhooks; replay their messages. Works on the ledger of this machine's settings.",
)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The webhook's id, as `dermq webhooks list` shows it.")]


@webhooks.command("create")
def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where messages go: https://.")],
    *,
    tenant: Annotated[str, typer.Option("--tenant", metavar="NAME", help="Whose jobs.")] = "default",
    event: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="E", help="job.succeeded, …; repeat it. Default: all."),
    ] = None,
    job: Annotated[str | None, typer.Option("--job", metavar="ID", help="Only messages about this job.")] = None,
    by: ByOption = None,
    json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Make a webhook and print its secret, which verifies messages. It is shown this once."""
    from cli.ledger import open_ledger, operator, settings_of
    from core.clock import SystemClock
    from core.db.access.tenants import find_tenant
    from core.db.engine import transaction
    from core.db.webhooks.store import NewWebhook, create_webhook, read_events
    from core.egress.addresses import check_target

    settings = settings_of(data_dir)
    check_target(url, settings.egress.allowed_networks)
    events, job_id = read_events(event or ()), _id(job) if job else None
    with open_ledger(settings) as engine, transaction(engine) as session:
        new = NewWebhook(find_tenant(session, tenant).id, url, events, job_id)
        made = create_webhook(session, operator(by), new, SystemClock().now())
    _show_secret(made, as_json=json)


@webhooks.command("list")
def list_all(
    *,
    tenant: WhoseOption = None,
    json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """List webhooks. Never their secrets."""
    from rich.table import Table

    from cli.ledger import open_ledger, settings_of
    from cli.output.terminal import open_out, print_json
    from core.db.access.tenants import find_tenant
    from core.db.engine import reading
    from core.db.webhooks.store import list_webhooks

    with open_ledger(settings_of(data_dir)) as engine, reading(engine) as session:
        tenant_id = find_tenant(session, tenant).id if tenant else None
        found = [_raw(each) for each in list_webhooks(session, tenant_id)]
    if json:
        print_json(found)
        return
    table = Table("id", "url", "events", "job", "state", "failing since", box=None)
    for each in found:
        events = ",".join(each["events"]) or "all"
        table.add_row(each["id"], each["url"], events, each["job"] or "", each["state"], (each["failing_since"] or "")[:16])
    open_out().print(table)


@webhooks.command("rotate")
def rotate(webhook_id: IdArgument, *, by: ByOption = None, json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """Replace a webhook's secret and print the new one; for 24 hours messages are signed with both."""
    from cli.ledger import operator
    from core.clock import SystemClock
    from core.db.webhooks.store import rotate_secret

    now = SystemClock().now()
    changed = _change(webhook_id, data_dir, lambda session, found: rotate_secret(session, operator(by), found, now))
    _show_secret(changed, as_json=json)


@webhooks.command("delete")
def delete(webhook_id: IdArgument, *, by: ByOption = None, data_dir: DataDirOption = None) -> None:
    """Delete a webhook with its messages."""
    from cli.ledger import operator
    from cli.output.terminal import open_out
    from core.clock import SystemClock
    from core.db.webhooks.store import delete_webhook

    _change(webhook_id, data_dir, lambda session, found: delete_webhook(session, operator(by), found, SystemClock().now()))
    open_out().print(f"Webhook {webhook_id} is deleted.", soft_wrap=True)


@webhooks.command("deliveries")
def deliveries(webhook_id: IdArgument, *, json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """Show the last messages to a webhook, newest first, and what became of them."""
    from rich.table import Table

    from cli.output.terminal import open_out, print_json
    from core.db.webhooks.store import list_deliveries

    found = [
        _raw_delivery(each) for each in _change(webhook_id, data_dir, lambda session, found: list_deliveries(session, found.id))
    ]
    if json:
        print_json(found)
        return
    table = Table("message", "event", "state", "tries", "answer", "next try", box=None)
    for each in found:
        answer = str(each["last_status"] or each["last_error"] or "")
        table.add_row(each["id"], each["event"], each["state"], str(each["attempts"]), answer, (each["due_at"] or "")[:16])
    open_out().print(table)


@webhooks.command("replay")
def send_again(
    webhook_id: IdArgument,
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="The message's id; `deliveries` shows it.")],
    *,
    by: ByOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Send a message again, with the same id. It enables a webhook that was disabled."""
    from cli.ledger import operator
    from cli.output.terminal import open_out
    from core.clock import SystemClock
    from core.db.webhooks.store import replay

    now = SystemClock().now()
    _change(webhook_id, data_dir, lambda session, found: replay(session, operator(by), found, _id(message), now))
    open_out().print(f"Message {message} is sent again.", soft_wrap=True)


def _change(webhook_id: str, data_dir: Path | None, work: Callable[[Session, Webhook], Any]) -> Any:
    from cli.ledger import open_ledger, settings_of
    from core.db.engine import transaction
    from core.db.webhooks.store import get_webhook

    with open_ledger(settings_of(data_dir)) as engine, transaction(engine) as session:
        return work(session, get_webhook(session, _id(webhook_id)))


def _id(text: str) -> UUID:
    from uuid import UUID

    from core.errors import InvalidRequestError

    try:
        return UUID(text)
    except ValueError as error:
        raise InvalidRequestError(f"expected an id such as 01a2…, got {text[:80]!r}") from error


def _raw(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": str(webhook.id),
        "tenant": str(webhook.tenant_id),
        "url": webhook.url,
        "events": webhook.events,
        "job": str(webhook.job_id) if webhook.job_id else None,
        "state": "disabled" if webhook.disabled_at else "active",
        "disabled_reason": webhook.disabled_reason,
        "failing_since": webhook.failing_since.isoformat() if webhook.failing_since else None,
    }


def _raw_delivery(delivery: WebhookDelivery) -> dict[str, Any]:
    return {
        "id": str(delivery.id),
        "event": delivery.event,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "due_at": delivery.due_at.isoformat() if delivery.due_at else None,
        "payload": delivery.payload,
    }


def _show_secret(webhook: Webhook, *, as_json: bool) -> None:
    """The secret alone on stdout, the rest on stderr."""
    from cli.output.terminal import open_err, print_json

    if as_json:
        print_json(_raw(webhook) | {"secret": webhook.secret})
        return
    print(webhook.secret, flush=True)
    open_err().print(
        f"The secret of webhook {webhook.id} is shown only now: the receiver verifies messages with it.", soft_wrap=True
    )
