"""Traces and effort: which trace a job belongs to, and what the time of a chunk went into.

Revision: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

from core.db.migrations import online

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.create_index("ix_chunks_finished_at", "chunks", ["finished_at"])
    op.add_column("jobs", sa.Column("traceparent", sa.Text(), nullable=True))
    op.add_column("chunks", sa.Column("waited_s", sa.Float(53), nullable=True))
    op.add_column("chunks", sa.Column("starved_s", sa.Float(53), nullable=True))


def downgrade() -> None:
    online.drop_index("ix_chunks_finished_at", "chunks")
    op.drop_column("chunks", "starved_s")
    op.drop_column("chunks", "waited_s")
    op.drop_column("jobs", "traceparent")
