"""`dermq tenants`: who owns jobs, and how much of the installation each may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.helpstyle import PlainTyper
from cli.models.operator import ByOption
from cli.options import DataDirOption, JsonOption

if TYPE_CHECKING:
    from core.access.callers import Caller
    from core.db.models import Tenant

tenants = PlainTyper(
    no_args_is_help=True,
    help="Make, list, limit, suspend and delete tenants. Works on the ledger of this machine's settings.",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The tenant.")]
_LIMITS = "Limits (0: nothing at all; -1: no limit)"
JobsOption = Annotated[
    int | None, typer.Option("--max-jobs", metavar="N", min=-1, help="Jobs that have not ended.", rich_help_panel=_LIMITS)
]
ItemsOption = Annotated[
    int | None,
    typer.Option("--max-items", metavar="N", min=-1, help="Items without a result, of all its jobs.", rich_help_panel=_LIMITS),
]
BytesOption = Annotated[
    int | None, typer.Option("--max-bytes", metavar="N", min=-1, help="Bytes of stored uploads.", rich_help_panel=_LIMITS)
]
RequestsOption = Annotated[
    int | None,
    typer.Option(
        "--max-requests", metavar="N", min=-1, help="Requests in a minute, to one API process.", rich_help_panel=_LIMITS
    ),
]
RetentionOption = Annotated[
    float | None,
    typer.Option("--retention-days", metavar="N", min=-1, help="Its ended jobs are kept no longer.", rich_help_panel=_LIMITS),
]
WeightOption = Annotated[
    int | None, typer.Option("--weight", metavar="N", min=1, max=1000, help="Its share of the workers beside other tenants.")
]


@tenants.command("create")
def create(
    name: NameArgument,
    *,
    max_jobs: JobsOption = None,
    max_items: ItemsOption = None,
    max_bytes: BytesOption = None,
    max_requests: RequestsOption = None,
    retention_days: RetentionOption = None,
    weight: WeightOption = None,
    by: ByOption = None,
    json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Make a tenant. `dermq keys create` makes its keys."""
    from cli.ledger import open_ledger, operator, settings_of
    from core.clock import SystemClock
    from core.db.access.tenants import Quotas, create_tenant
    from core.db.engine import transaction

    given = _given(max_jobs, max_items, max_bytes, max_requests, retention_days)
    with open_ledger(settings_of(data_dir)) as engine, transaction(engine) as session:
        caller, now = operator(by), SystemClock().now()
        tenant = create_tenant(session, caller, name, now, quotas=Quotas(**given), weight=weight or 1)  # type: ignore[arg-type]
    _show(tenant, "is made", as_json=json)


@tenants.command("limit")
def limit(
    name: NameArgument,
    *,
    max_jobs: JobsOption = None,
    max_items: ItemsOption = None,
    max_bytes: BytesOption = None,
    max_requests: RequestsOption = None,
    retention_days: RetentionOption = None,
    weight: WeightOption = None,
    by: ByOption = None,
    json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Change a tenant's limits and weight; what is not named stays as it is."""
    from core.db.access.tenants import limit_tenant

    changes = _given(max_jobs, max_items, max_bytes, max_requests, retention_days)
    if weight is not None:
        changes["weight"] = weight
    tenant = _change(name, by, data_dir, lambda session, caller, found, now: limit_tenant(session, caller, found, changes, now))
    _show(tenant, "is limited", as_json=json)


@tenants.command("list")
def list_all(*, json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """List the tenants with their limits."""
    from rich.table import Table

    from cli.ledger import open_ledger, settings_of
    from cli.output.terminal import open_out, print_json
    from core.db.access.tenants import list_tenants
    from core.db.engine import reading

    with open_ledger(settings_of(data_dir)) as engine, reading(engine) as session:
        found = [_raw(tenant) for tenant in list_tenants(session)]
    if json:
        print_json(found)
        return
    columns = ("name", "state", "weight", "max_jobs", "max_items", "max_bytes", "max_requests", "retention_days")
    table = Table(*columns, box=None)
    for each in found:
        table.add_row(*("no limit" if each[column] is None else str(each[column]) for column in columns))
    open_out().print(table)


@tenants.command("suspend")
def suspend(name: NameArgument, *, by: ByOption = None, json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """Let none of a tenant's keys work until `resume`. Its jobs run on."""
    from core.db.access.tenants import suspend_tenant

    _show(_change(name, by, data_dir, suspend_tenant), "is suspended: its keys do not work", as_json=json)


@tenants.command("resume")
def resume(name: NameArgument, *, by: ByOption = None, json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """Let a suspended tenant's keys work again."""
    from core.db.access.tenants import resume_tenant

    _show(_change(name, by, data_dir, resume_tenant), "is active", as_json=json)


@tenants.command("delete")
def delete(name: NameArgument, *, by: ByOption = None, json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """Delete a tenant that has no jobs any more, and its keys."""
    from core.db.access.tenants import delete_tenant

    def remove(session: Any, caller: Any, tenant: Any, now: Any) -> Any:
        delete_tenant(session, caller, tenant, now)
        return tenant

    _show(_change(name, by, data_dir, remove), "is deleted, with its keys", as_json=json)


def _change(name: str, by: str | None, data_dir: Any, work: Any) -> Tenant:
    from cli.ledger import open_ledger, operator, settings_of
    from core.clock import SystemClock
    from core.db.access.tenants import find_tenant
    from core.db.engine import transaction

    caller: Caller = operator(by)
    with open_ledger(settings_of(data_dir)) as engine, transaction(engine) as session:
        changed: Tenant = work(session, caller, find_tenant(session, name), SystemClock().now())
    return changed


def _given(
    max_jobs: int | None, max_items: int | None, max_bytes: int | None, max_requests: int | None, retention_days: float | None
) -> dict[str, int | float | None]:
    """The limits that were named; -1 takes one away."""
    named = {
        "max_jobs": max_jobs,
        "max_items": max_items,
        "max_bytes": max_bytes,
        "max_requests": max_requests,
        "retention_days": retention_days,
    }
    return {name: None if value < 0 else value for name, value in named.items() if value is not None}


def _raw(tenant: Tenant) -> dict[str, Any]:
    return {
        "id": str(tenant.id),
        "name": tenant.name,
        "state": "suspended" if tenant.suspended_at else "active",
        "created_at": tenant.created_at.isoformat(),
        "weight": tenant.weight,
        "max_jobs": tenant.max_jobs,
        "max_items": tenant.max_items,
        "max_bytes": tenant.max_bytes,
        "max_requests": tenant.max_requests,
        "retention_days": tenant.retention_days,
    }


def _show(tenant: Tenant, what: str, *, as_json: bool) -> None:
    from cli.output.terminal import open_out, print_json

    if as_json:
        print_json(_raw(tenant))
        return
    open_out().print(f"Tenant {tenant.name} {what}.", soft_wrap=True)
