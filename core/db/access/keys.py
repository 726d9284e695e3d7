"""API keys: made, found by what a request shows, rotated, revoked."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, or_, select, update
from sqlalchemy.orm import Session

from core.access.callers import Caller
from core.access.scopes import Scope, read_scopes
from core.access.tokens import digest, hint, is_token, new_token
from core.db.access.audit import Action, record
from core.db.access.tables import ApiKey
from core.db.models import Tenant
from core.errors import InvalidRequestError, NotFoundError
from core.ids import new_id
from core.plaintext import plain_text

_NAME_LENGTH = 100
_USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key shall be.

    Attributes:
        tenant_id: whose.
        name: for people: who or what uses it.
        scopes: what it allows.
        expires_at: None: never.
    """

    tenant_id: uuid.UUID
    name: str
    scopes: frozenset[Scope]
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key, and the only time that its text is seen."""

    key: ApiKey
    token: str

    def __repr__(self) -> str:
        return f"MadeKey({self.key.id})"  # the token never comes into a log or a traceback


def create_key(session: Session, caller: Caller, new: NewKey, now: datetime) -> MadeKey:
    """Make a key.

    Raises:
        InvalidRequestError: the name is empty or too long, there is no scope, or it would have expired.
    """
    made = _add(session, caller, new, now)
    scopes = sorted(new.scopes)
    record(session, caller, Action.KEY_CREATE, made.key.id, now, tenant_id=new.tenant_id, name=made.key.name, scopes=scopes)
    return made


def rotate_key(session: Session, caller: Caller, key: ApiKey, now: datetime, *, overlap: timedelta = timedelta()) -> MadeKey:
    """Make a key like another one, which ends now, or after `overlap`, in which both work.

    Raises:
        NotFoundError: the key has been revoked or has expired.
    """
    if not _is_alive(key, now):
        raise NotFoundError(f"key {key.id} does not work any more: make a new one")
    ends = now + (key.expires_at - key.created_at) if key.expires_at else None
    new = NewKey(key.tenant_id, key.name, read_scopes(key.scopes), ends)
    made = _add(session, caller, new, now)
    if overlap:
        key.expires_at = min(filter(None, (key.expires_at, now + overlap)))
    else:
        key.revoked_at = now
    record(session, caller, Action.KEY_ROTATE, key.id, now, tenant_id=key.tenant_id, successor=str(made.key.id))
    return made


def revoke_key(session: Session, caller: Caller, key: ApiKey, now: datetime) -> ApiKey:
    """It does not work any more, from the next request on. A second time changes nothing."""
    if key.revoked_at is None:
        key.revoked_at = now
        record(session, caller, Action.KEY_REVOKE, key.id, now, tenant_id=key.tenant_id)
    return key


def get_key(session: Session, key_id: str) -> ApiKey:
    """A key by its id.

    Raises:
        NotFoundError: there is none.
    """
    try:
        key = session.get(ApiKey, uuid.UUID(key_id))
    except ValueError:
        key = None
    if key is None:
        shown = "what was given" if key_id.startswith("dq_") else repr(key_id)
        raise NotFoundError(f"no key has the id {shown}; `dermq keys list` shows ids")
    return key


def list_keys(session: Session, tenant_id: uuid.UUID | None = None) -> Sequence[tuple[ApiKey, str]]:
    """Keys with their tenants' names, oldest first; of one tenant or of all."""
    query = select(ApiKey, Tenant.name).join(Tenant, Tenant.id == ApiKey.tenant_id).order_by(ApiKey.id)
    if tenant_id is not None:
        query = query.where(ApiKey.tenant_id == tenant_id)
    return [(key, name) for key, name in session.execute(query)]


def find_key(session: Session, token: str, now: datetime) -> ApiKey | None:
    """The key that this text is; None if it is none, was revoked, has expired, or if its tenant is suspended."""
    if not is_token(token):
        return None
    shown = digest(token)
    key = session.scalar(_alive(now).where(ApiKey.sha256 == shown))
    return key if key is not None and hmac.compare_digest(key.sha256, shown) else None


def caller_of(key: ApiKey) -> Caller:
    """On whose behalf a key acts."""
    known = frozenset(Scope(word) for word in key.scopes if word in set(Scope))  # a later release may know more
    return Caller(key.tenant_id, known, key.name, key.id)


def alive_key(session: Session, key_id: uuid.UUID, now: datetime) -> ApiKey | None:
    """A key that works, by its id."""
    return session.scalar(_alive(now).where(ApiKey.id == key_id))


def may_still_ask(session: Session, caller: Caller, now: datetime) -> bool:
    """Whether a caller who was let in would be let in again: by key, by a provider's token, or at a machine without keys."""
    if caller.key_id is not None:
        return alive_key(session, caller.key_id, now) is not None
    if caller.expires_at is None:
        return True
    active = select(Tenant.id).where(Tenant.id == caller.tenant_id, Tenant.suspended_at.is_(None))
    return caller.expires_at > now and session.scalar(active) is not None


def has_usable_key(session: Session, now: datetime) -> bool:
    """Whether there is any key that works."""
    return session.scalar(_alive(now).limit(1)) is not None


def is_use_to_note(key: ApiKey, now: datetime) -> bool:
    """Whether the last use that is recorded is so old that `note_use` shall write: most requests write nothing."""
    return key.last_used_at is None or key.last_used_at < now - _USE_NOTED_EVERY


def note_use(session: Session, key_id: uuid.UUID, now: datetime) -> None:
    """Record that a key was used."""
    session.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=now))


def _add(session: Session, caller: Caller, new: NewKey, now: datetime) -> MadeKey:
    name = plain_text(new.name).strip()
    if not 0 < len(name) <= _NAME_LENGTH or not name.isprintable():
        raise InvalidRequestError(f"expected a key's name of 1 to {_NAME_LENGTH} printable characters, got {name[:200]!r}")
    if new.expires_at is not None and new.expires_at <= now:
        raise InvalidRequestError(f"the key would expire at {new.expires_at:%Y-%m-%d %H:%M} UTC, which is over")
    token = new_token()
    key = ApiKey(
        id=new_id(),
        tenant_id=new.tenant_id,
        name=name,
        hint=hint(token),
        sha256=digest(token),
        scopes=_words(new.scopes),
        created_at=now,
        created_by=caller.actor,
        expires_at=new.expires_at,
    )
    session.add(key)
    session.flush()
    return MadeKey(key, token)


def _words(scopes: Iterable[Scope]) -> list[str]:
    return sorted(map(str, read_scopes(scopes)))


def _alive(now: datetime) -> Select[ApiKey]:
    return (
        select(ApiKey)
        .join(Tenant, Tenant.id == ApiKey.tenant_id)
        .where(
            ApiKey.revoked_at.is_(None),
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now),
            Tenant.suspended_at.is_(None),
        )
    )


def _is_alive(key: ApiKey, now: datetime) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)
