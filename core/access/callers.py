"""Who is calling: a key's tenant, name and scopes, or whoever sits at a machine without keys."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from core.access.scopes import ALL_SCOPES, Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf something is done.

    Attributes:
        tenant_id: whose jobs are seen.
        scopes: what is allowed.
        actor: for the audit: a key's name, or user@host.
        key_id: None without a key.
        expires_at: until when a provider's token holds; None for keys, which are looked up.
    """

    tenant_id: uuid.UUID
    scopes: frozenset[Scope]
    actor: str
    key_id: uuid.UUID | None = None
    expires_at: datetime | None = None

    def may(self, scope: Scope) -> bool:
        """Whether the scope is allowed."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def local_caller(tenant_id: uuid.UUID, actor: str = "local") -> Caller:
    """Whoever reaches a server that asks for no key, or runs a command on the ledger itself: may do all."""
    return Caller(tenant_id, ALL_SCOPES, actor)
