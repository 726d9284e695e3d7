"""Items by their name in the archive."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import Result
from core.db.rawrows import fetch_raw


def find_named(session: Session, job_id: uuid.UUID, text: str) -> list[int]:
    """Numbers of the items whose name has a text in it, whatever its case; in their order. Reads all names of the job.

    Names are bytes: what is no UTF-8 in them matches nothing.
    """
    wanted = text.casefold()
    rows = fetch_raw(session, select(Result.item_no, Result.name).where(Result.job_id == job_id).order_by(Result.item_no))
    return [item for item, name in rows if wanted in bytes(name).decode("utf-8", "replace").casefold()]
