"""The table of uploads that have not come to their end."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from core.db.models import Base


class PartialUpload(Base):
    """An upload in parts. `received` grows with each part; the parts are objects under the upload's prefix."""

    __tablename__ = "partial_uploads"
    __table_args__ = (Index("ix_partial_uploads_tenant_id", "tenant_id"), Index("ix_partial_uploads_expires_at", "expires_at"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    filename: Mapped[str]
    length: Mapped[int] = mapped_column(BigInteger)  # bytes, as announced
    received: Mapped[int] = mapped_column(BigInteger)  # bytes
    parts: Mapped[list[Any]] = mapped_column(JSON)  # keys of objects, in their order
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]  # moves on with each part
