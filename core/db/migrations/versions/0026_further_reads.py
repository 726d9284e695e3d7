"""Second reads, settled disagreements, and who is reading now.

Revision: 0026
Revises: 0023
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "further_reads",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("item_no", sa.Integer(), nullable=False),
        sa.Column("read", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_further_reads_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "item_no", "read", name=op.f("pk_further_reads")),
    )
    op.create_table(
        "presences",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_presences_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "reviewer", name=op.f("pk_presences")),
    )


def downgrade() -> None:
    op.drop_table("presences")
    op.drop_table("further_reads")
