"""Metadata of tables: which columns a job's table has beside the one that names the images, and their cells of each row.

Revision: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("metadata_columns", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("results", sa.Column("metadata", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("results", "metadata")
    op.drop_column("jobs", "metadata_columns")
