"""Tables of a review by several readers, and of words on jobs. The first read of an item is in core.db.models.Decision."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from core.db.models import Base


class FurtherRead(Base):
    """What a second reader has decided about an item, or what was settled between the two. Columns as those of Decision."""

    __tablename__ = "further_reads"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    item_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    read: Mapped[int] = mapped_column(Integer, primary_key=True)  # core.db.decisions.Read, never FIRST
    revision: Mapped[int] = mapped_column(Integer)
    verdict: Mapped[str | None]
    label: Mapped[str | None]
    flagged: Mapped[bool]
    note: Mapped[str]
    reviewer: Mapped[str]
    decided_at: Mapped[datetime]


class JobTag(Base):
    """A word by which a job is found."""

    __tablename__ = "job_tags"
    __table_args__ = (Index("ix_job_tags_tag", "tag"),)

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)


class Presence(Base):
    """When a reader was last seen in a job's review. Rows are dropped when they are old."""

    __tablename__ = "presences"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    reviewer: Mapped[str] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime]
