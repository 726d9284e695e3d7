"""How unsure the model is of an image, in rows that have no risk.

Revision: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("results", sa.Column("uncertainty", sa.Float(53), nullable=True))


def downgrade() -> None:
    op.drop_column("results", "uncertainty")
