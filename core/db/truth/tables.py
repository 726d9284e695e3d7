"""Tables of the truth. Rows of their own beside the results: a retry replaces results, and leaves the truth."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Integer
from sqlalchemy.orm import Mapped, mapped_column

from core.db.models import Base


class Truth(Base):
    """The true class of one item."""

    __tablename__ = "truths"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    item_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    label: Mapped[str]  # one of the classes of the job's model


class TruthSet(Base):
    """Where the truth of a job comes from, and what in it could not be used."""

    __tablename__ = "truth_sets"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)  # grows with each replacement
    added_at: Mapped[datetime]
    summary: Mapped[dict[str, Any]] = mapped_column(JSON)  # core.evaluation.truth.Matched.summary
