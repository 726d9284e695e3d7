"""How unlike the training pictures an image is.

Revision: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("results", sa.Column("novelty", sa.Float(53), nullable=True))


def downgrade() -> None:
    op.drop_column("results", "novelty")
