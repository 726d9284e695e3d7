"""An API that asks for keys, with two tenants, and keys of each."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

import httpx2
from sqlalchemy import Engine

from core.access.callers import local_caller
from core.access.scopes import Scope
from core.clock import SystemClock
from core.db.access.keys import NewKey, create_key
from core.db.access.tenants import create_tenant
from core.db.engine import transaction
from core.db.models import LOCAL_TENANT_ID

OPERATOR = local_caller(LOCAL_TENANT_ID, "operator")
WORKING = (Scope.SUBMIT, Scope.READ, Scope.REVIEW)


@dataclass
class Keys:
    """Makes tenants and keys in a ledger."""

    engine: Engine
    tenants: dict[str, uuid.UUID] = field(default_factory=lambda: {"default": LOCAL_TENANT_ID})

    def tenant(self, name: str) -> uuid.UUID:
        if name not in self.tenants:
            with transaction(self.engine) as session:
                self.tenants[name] = create_tenant(session, OPERATOR, name, SystemClock().now()).id
        return self.tenants[name]

    def make(self, tenant: str = "default", scopes: Iterable[Scope] = WORKING) -> str:
        """A new key's text."""
        new = NewKey(self.tenant(tenant), f"a key of {tenant}", frozenset(scopes))
        with transaction(self.engine) as session:
            return create_key(session, OPERATOR, new, SystemClock().now()).token


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def client_of(url: str, token: str) -> httpx2.Client:
    return httpx2.Client(base_url=url, headers=bearer(token), timeout=20)
