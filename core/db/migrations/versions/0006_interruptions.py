"""How an interruption is judged, and what a job leaves behind: processes, tombstones, bugs, retention from the end.

Revision: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

from core.db.migrations import online

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.create_index("ix_jobs_upload_id", "jobs", ["upload_id"])
    op.add_column("jobs", sa.Column("bugs", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("opened_attempt", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("retention_s", sa.Float(53), nullable=True))
    op.add_column("chunks", sa.Column("bugs", sa.Integer(), nullable=True))
    op.create_table(
        "processes",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_processes")),
    )
    op.create_table(
        "tombstones",
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_tombstones")),
    )
    op.create_index("ix_tombstones_due_at", "tombstones", ["due_at"])


def downgrade() -> None:
    op.drop_table("tombstones")
    op.drop_table("processes")
    online.drop_index("ix_jobs_upload_id", "jobs")
    op.drop_column("chunks", "bugs")
    for name in ("retention_s", "opened_attempt", "bugs"):
        op.drop_column("jobs", name)
