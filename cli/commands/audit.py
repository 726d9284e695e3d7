"""`dermq audit`: who did what to which job, key and tenant."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from cli.options import DataDirOption, JsonOption

_PAGE = 1000


def audit(
    *,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Only what belongs to this tenant.")] = None,
    since: Annotated[datetime | None, typer.Option("--since", metavar="WHEN", help="Only from this instant on (UTC).")] = None,
    json: JsonOption = False,  # noqa: ARG001 - it prints nothing but JSON
    data_dir: DataDirOption = None,
) -> None:
    """Print the audit, oldest first, one JSON object a line. Moves of model versions are in `dermq models`."""
    from datetime import UTC

    from cli.ledger import open_ledger, settings_of
    from cli.output.terminal import json_text
    from core.db.access.audit import list_audit
    from core.db.access.tenants import find_tenant
    from core.db.engine import reading

    begin = since.replace(tzinfo=since.tzinfo or UTC) if since else None
    after: int | None = 0
    with open_ledger(settings_of(data_dir)) as engine:
        while after is not None:
            with reading(engine) as session:
                tenant_id = find_tenant(session, tenant).id if tenant else None
                page = list_audit(session, tenant_id=tenant_id, after=after, limit=_PAGE)
            for event in page:
                if begin is None or event.at >= begin:
                    print(json_text(_raw(event)))
            after = page[-1].id if len(page) == _PAGE else None


def _raw(event: Any) -> dict[str, Any]:
    return {
        "id": event.id,
        "at": event.at.isoformat(),
        "actor": event.actor,
        "key": str(event.key_id) if event.key_id else None,
        "tenant": str(event.tenant_id) if event.tenant_id else None,
        "action": event.action,
        "object": event.object_id,
        "detail": event.detail,
    }
