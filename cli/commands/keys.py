"""`dermq keys`: what programs and people show to the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.helpstyle import PlainTyper
from cli.models.operator import ByOption
from cli.options import DataDirOption, JsonOption, WhoseOption

if TYPE_CHECKING:
    from core.db.access.keys import MadeKey
    from core.db.access.tables import ApiKey

keys = PlainTyper(
    no_args_is_help=True,
    help="Make, list, rotate and revoke API keys. Works on the ledger of this machine's settings.",
)

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The key's id, as `dermq keys list` shows it; not the key itself.")
]
TenantOption = Annotated[str, typer.Option("--tenant", metavar="NAME", help="Whose key.")]


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who or what uses it, for the list and the audit.")],
    *,
    tenant: TenantOption = "default",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", metavar="S", help="submit, read, review or admin; repeat it. Default: submit, read and review."
        ),
    ] = None,
    expires: Annotated[
        int | None, typer.Option("--expires", metavar="DAYS", min=1, help="Days that it works. Default: for ever.")
    ] = None,
    first: Annotated[
        bool, typer.Option("--first", help="Only if no key works yet; else do nothing. For scripts that start a server.")
    ] = False,
    by: ByOption = None,
    json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Make a key and print it. It is shown this once: only its SHA-256 is stored."""
    from cli.ledger import open_ledger, operator, settings_of
    from cli.output.terminal import open_err
    from core.access.scopes import read_scopes
    from core.clock import SystemClock
    from core.db.access.keys import NewKey, create_key, has_usable_key
    from core.db.access.tenants import find_tenant
    from core.db.engine import transaction

    scopes, now = read_scopes(scope or ("submit", "read", "review")), SystemClock().now()
    with open_ledger(settings_of(data_dir)) as engine, transaction(engine) as session:
        if first and has_usable_key(session, now):
            open_err().print("There is a key already; none was made.")
            return
        ends = now + timedelta(days=expires) if expires else None
        made = create_key(session, operator(by), NewKey(find_tenant(session, tenant).id, name, scopes, ends), now)
    _show_made(made, tenant, as_json=json)


@keys.command("list")
def list_all(
    *,
    tenant: WhoseOption = None,
    json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """List keys: ids, beginnings, scopes, ends, last use. Never the keys themselves."""
    from rich.table import Table

    from cli.ledger import open_ledger, settings_of
    from cli.output.terminal import open_out, print_json
    from core.clock import SystemClock
    from core.db.access.keys import list_keys
    from core.db.access.tenants import find_tenant
    from core.db.engine import reading

    with open_ledger(settings_of(data_dir)) as engine, reading(engine) as session:
        tenant_id = find_tenant(session, tenant).id if tenant else None
        found = [_raw(key, whose, SystemClock().now()) for key, whose in list_keys(session, tenant_id)]
    if json:
        print_json(found)
        return
    table = Table("id", "tenant", "name", "begins", "scopes", "state", "expires", "last used", box=None)
    for each in found:
        ends, used = (each[name] or "never" for name in ("expires_at", "last_used_at"))
        scopes = ",".join(each["scopes"])
        table.add_row(each["id"], each["tenant"], each["name"], each["hint"], scopes, each["state"], ends[:16], used[:16])
    open_out().print(table)


@keys.command("rotate")
def rotate(
    key_id: IdArgument,
    *,
    overlap: Annotated[
        float, typer.Option("--overlap", metavar="HOURS", min=0, help="Hours that the old key still works. Default: none.")
    ] = 0.0,
    by: ByOption = None,
    json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Make a key like another one and print it; the old one ends."""
    from cli.ledger import open_ledger, operator, settings_of
    from core.clock import SystemClock
    from core.db.access.keys import get_key, rotate_key
    from core.db.access.tenants import find_tenant
    from core.db.engine import transaction

    with open_ledger(settings_of(data_dir)) as engine, transaction(engine) as session:
        old = get_key(session, key_id)
        made = rotate_key(session, operator(by), old, SystemClock().now(), overlap=timedelta(hours=overlap))
        tenant = find_tenant(session, str(old.tenant_id)).name
    _show_made(made, tenant, as_json=json)


@keys.command("revoke")
def revoke(key_id: IdArgument, *, by: ByOption = None, json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """Let a key work no more, from the next request on."""
    from cli.ledger import open_ledger, operator, settings_of
    from cli.output.terminal import open_out, print_json
    from core.clock import SystemClock
    from core.db.access.keys import get_key, revoke_key
    from core.db.access.tenants import find_tenant
    from core.db.engine import transaction

    now = SystemClock().now()
    with open_ledger(settings_of(data_dir)) as engine, transaction(engine) as session:
        key = revoke_key(session, operator(by), get_key(session, key_id), now)
        raw = _raw(key, find_tenant(session, str(key.tenant_id)).name, now)
    if json:
        print_json(raw)
        return
    open_out().print(f"Key {key.hint}… ({key.name}) is revoked.", soft_wrap=True)


def _raw(key: ApiKey, tenant: str, now: datetime) -> dict[str, Any]:
    expired = key.expires_at is not None and key.expires_at <= now
    return {
        "id": str(key.id),
        "tenant": tenant,
        "name": key.name,
        "hint": key.hint,
        "scopes": key.scopes,
        "state": "revoked" if key.revoked_at else "expired" if expired else "active",
        **{name: _text(getattr(key, name)) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")},
    }


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _show_made(made: MadeKey, tenant: str, *, as_json: bool) -> None:
    """The key alone on stdout, so that a script can keep it; the rest on stderr."""
    from cli.output.terminal import open_err, print_json

    if as_json:
        print_json(_raw(made.key, tenant, made.key.created_at) | {"key": made.token})
        return
    print(made.token, flush=True)
    scopes = ", ".join(made.key.scopes)
    open_err().print(
        f"This key of tenant {tenant} ({scopes}; id {made.key.id}) is shown only now. Keep it as DERMQ_API_KEY, or in the file "
        "that DERMQ_API_KEY_FILE names.",
        soft_wrap=True,
    )
