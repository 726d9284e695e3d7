"""A retry in pages, the rate of the present run, and since when and until when a job waits.

Revision: 0008
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("reopening", sa.JSON(), nullable=True))
    op.add_column("jobs", sa.Column("done_before", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("waiting_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in ("waiting_until", "waiting_since", "done_before", "reopening"):
        op.drop_column("jobs", name)
