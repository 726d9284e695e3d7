"""Notes: what is in doubt about one image, and about an archive as a whole.

Revision: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("notes", sa.JSON(), nullable=True))
    op.add_column("results", sa.Column("notes", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("results", "notes")
    op.drop_column("jobs", "notes")
