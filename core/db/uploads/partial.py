"""Uploads in parts: begin, go on, end. A part counts once its row says so, whoever wrote it."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from core.db.access.quotas import check_quotas
from core.db.tombstones import bury
from core.db.uploads.tables import PartialUpload
from core.errors import ConflictError, NotFoundError, QuotaExceededError
from core.ids import new_id
from core.storage.layout import upload_prefix

LIFETIME = timedelta(hours=24)  # after the last part
KEPT_WHEN_USED = timedelta(minutes=10)  # so that the same submission, sent again, finds its bytes
MOST_OPEN = 32  # of a tenant


def begin_upload(session: Session, tenant_id: uuid.UUID, length: int, filename: str, now: datetime) -> PartialUpload:
    """Begin an upload of `length` bytes. Those that are over count no more, whether or not the sweep has removed them.

    Nor are those open that a job has: they end within ten minutes. Their bytes are there until then.

    Raises:
        QuotaExceededError: its tenant has no room for it beside its other ones, or has too many open.
    """
    mine = (PartialUpload.tenant_id == tenant_id) & (PartialUpload.expires_at > now)
    is_open = PartialUpload.expires_at > now + KEPT_WHEN_USED
    counted = select(func.count().filter(is_open), func.coalesce(func.sum(PartialUpload.length), 0)).where(mine)
    count, size = session.execute(counted).one()
    if count >= MOST_OPEN:
        raise QuotaExceededError(
            f"this tenant has {count} uploads that have not ended, and may have {MOST_OPEN}: end them, or delete one",
            quota="open_uploads",
            limit=MOST_OPEN,
            retry_after_s=300,
        )
    check_quotas(session, tenant_id, int(size) + length, lock=True)
    made = PartialUpload(
        id=new_id(),
        tenant_id=tenant_id,
        filename=filename,
        length=length,
        received=0,
        parts=[],
        created_at=now,
        expires_at=now + LIFETIME,
    )
    session.add(made)
    session.flush()
    return made


def get_upload(session: Session, tenant_id: uuid.UUID, upload_id: uuid.UUID, now: datetime) -> PartialUpload:
    """An upload of a tenant that is not over.

    Raises:
        NotFoundError: there is none, it is over, or it is another tenant's.
    """
    query = select(PartialUpload).where(PartialUpload.id == upload_id, PartialUpload.tenant_id == tenant_id)
    found = session.scalar(query.where(PartialUpload.expires_at > now))
    if found is None:
        raise NotFoundError(f"no upload {upload_id}: it was ended, or nothing came for a day; begin a new one")
    return found


def add_part(session: Session, upload: PartialUpload, key: str, size: int, now: datetime) -> PartialUpload:
    """Count a part that is stored.

    Args:
        session: a writing transaction.
        upload: as it was when the part began to come.
        key: where the part lies.
        size: its bytes.
        now: the present.

    Raises:
        ConflictError: another part has come in its place, or the upload is gone. The object is the caller's to delete.
    """
    still = (PartialUpload.id == upload.id, PartialUpload.received == upload.received)
    values = {"received": upload.received + size, "parts": [*upload.parts, key], "expires_at": now + LIFETIME}
    done = session.execute(update(PartialUpload).where(*still).values(**values).returning(PartialUpload.id)).first()
    if done is None:
        raise ConflictError(f"upload {upload.id} has gone on from byte {upload.received} meanwhile: ask for its offset")
    found = session.get(PartialUpload, upload.id, populate_existing=True)
    if found is None:
        raise AssertionError("a row that was updated is there")
    return found


def end_upload(session: Session, tenant_id: uuid.UUID, upload_id: uuid.UUID, now: datetime) -> None:
    """Forget an upload; the sweep deletes its bytes. Raises NotFoundError."""
    get_upload(session, tenant_id, upload_id, now)
    _remove(session, PartialUpload.id == upload_id, now)


def end_uploads(session: Session, tenant_id: uuid.UUID, now: datetime) -> None:
    """Forget all uploads of a tenant, which ends itself."""
    _remove(session, PartialUpload.tenant_id == tenant_id, now)


def remove_expired(session: Session, now: datetime, limit: int) -> int:
    """Forget up to `limit` uploads that are over, those first that have been for longest; the sweep deletes their bytes.

    Returns:
        How many.
    """
    over = select(PartialUpload.id).where(PartialUpload.expires_at <= now).order_by(PartialUpload.expires_at).limit(limit)
    found = session.scalars(over.with_for_update(skip_locked=True)).all()
    if found:
        _remove(session, PartialUpload.id.in_(found), now)
    return len(found)


def note_used(session: Session, upload_id: uuid.UUID, now: datetime) -> None:
    """A job has its bytes: the parts are kept for ten minutes more."""
    values = {"expires_at": now + KEPT_WHEN_USED}
    session.execute(update(PartialUpload).where(PartialUpload.id == upload_id).values(**values))


def _remove(session: Session, chosen: ColumnElement[bool], now: datetime) -> None:
    removed = session.scalars(delete(PartialUpload).where(chosen).returning(PartialUpload.id)).all()
    bury(session, [upload_prefix(upload_id) for upload_id in removed], now)
