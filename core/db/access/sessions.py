"""Sessions of pages: a browser that has shown a key goes on with a random value of its own, for some hours."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.access.tokens import digest
from core.db.access.audit import Action, record
from core.db.access.keys import alive_key, caller_of
from core.db.access.tables import ApiKey, PageSession

_BYTES = 32  # 256 random bits


def open_session(session: Session, key: ApiKey, now: datetime, lifetime: timedelta) -> str:
    """Begin a session for a key; returns the cookie's value, of which only the SHA-256 is stored. Removes what is over."""
    session.execute(delete(PageSession).where(PageSession.expires_at <= now))
    value = secrets.token_urlsafe(_BYTES)
    session.add(PageSession(sha256=digest(value), key_id=key.id, created_at=now, expires_at=now + lifetime))
    record(session, caller_of(key), Action.SIGN_IN, key.id, now)
    return value


def find_session_key(session: Session, value: str, now: datetime) -> ApiKey | None:
    """The key behind a session; None if there is none, it is over, or the key does not work any more."""
    query = select(PageSession).where(PageSession.sha256 == digest(value), PageSession.expires_at > now)
    found = session.scalar(query)
    return alive_key(session, found.key_id, now) if found else None


def end_session(session: Session, value: str, now: datetime) -> None:
    """End a session; without one nothing happens."""
    key = find_session_key(session, value, now)
    session.execute(delete(PageSession).where(PageSession.sha256 == digest(value)))
    if key is not None:
        record(session, caller_of(key), Action.SIGN_OUT, key.id, now)
