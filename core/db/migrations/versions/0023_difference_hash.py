"""The difference hash of an item's picture, by which near duplicates are found.

Revision: 0023
Revises: 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("results", sa.Column("difference_hash", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("results", "difference_hash")
