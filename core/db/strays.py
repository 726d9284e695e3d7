"""Objects of the storage that no row knows of: of an upload whose commit was lost with its process, for instance.

Found by a slow scan, in two phases: what has no row is noted, and only what has had none for a day is marked for deletion (a
tombstone, core.db.tombstones). So no upload is in danger whose row comes a moment after its object.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from core.db.models import Job, Stray, Tombstone, Upload
from core.db.outcomes import insert_ignoring_conflicts
from core.db.tombstones import bury
from core.db.uploads.tables import PartialUpload
from core.storage.layout import job_prefix, upload_prefix

LAST_SCAN = "last scan"  # no prefix: the row whose `checked_at` is the beginning of the last scan


def begin_scan(session: Session, now: datetime, interval_s: float) -> bool:
    """Whether a scan is due; if so, it is the caller's, and no other process begins one before the interval is over."""
    session.execute(
        insert_ignoring_conflicts(session, Stray),
        [{"prefix": LAST_SCAN, "seen_at": now, "checked_at": now - timedelta(seconds=interval_s)}],
    )
    begun = session.execute(
        update(Stray)
        .where(Stray.prefix == LAST_SCAN, Stray.checked_at <= now - timedelta(seconds=interval_s))
        .values(checked_at=now)
        .returning(Stray.prefix),
        execution_options={"synchronize_session": False},
    )
    return begun.first() is not None


def check_prefixes(
    session: Session, uploads: Collection[UUID], jobs: Collection[UUID], now: datetime, age_s: float
) -> list[str]:
    """Compare what a part of the listing showed with the ledger.

    Args:
        session: its transaction.
        uploads: ids of which there are objects.
        jobs: the same.
        now: the present.
        age_s: for how long a prefix must have been without a row before it is marked for deletion.

    Returns:
        The prefixes that were marked.
    """
    known = {upload_prefix(each) for each in session.scalars(select(Upload.id).where(Upload.id.in_(uploads)))}
    coming = select(PartialUpload.id).where(PartialUpload.id.in_(uploads), PartialUpload.expires_at > now)
    known |= {upload_prefix(each) for each in session.scalars(coming)}
    known |= {job_prefix(each) for each in session.scalars(select(Job.id).where(Job.id.in_(jobs)))}
    found = {upload_prefix(each) for each in uploads} | {job_prefix(each) for each in jobs}
    known |= set(session.scalars(select(Tombstone.prefix).where(Tombstone.prefix.in_(found))))
    session.execute(delete(Stray).where(Stray.prefix.in_(known)))
    without = sorted(found - known)
    if not without:
        return []
    rows = [{"prefix": prefix, "seen_at": now, "checked_at": now} for prefix in without]
    session.execute(insert_ignoring_conflicts(session, Stray), rows)
    session.execute(update(Stray).where(Stray.prefix.in_(without)).values(checked_at=now))
    ripe = Stray.prefix.in_(without), Stray.seen_at <= now - timedelta(seconds=age_s)
    old: Sequence[str] = session.scalars(select(Stray.prefix).where(*ripe)).all()
    bury(session, old, now)
    session.execute(delete(Stray).where(Stray.prefix.in_(old)))
    return list(old)


def end_scan(session: Session, began: datetime) -> None:
    """Forget what this scan did not meet any more."""
    session.execute(delete(Stray).where(Stray.prefix != LAST_SCAN, Stray.checked_at < began))


def count_strays(session: Session) -> tuple[int, int]:
    """(prefixes without a row, prefixes that are marked for deletion and still there)."""
    strays = session.scalar(select(func.count()).select_from(Stray).where(Stray.prefix != LAST_SCAN)) or 0
    return strays, session.scalar(select(func.count()).select_from(Tombstone)) or 0
