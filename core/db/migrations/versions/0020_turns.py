"""Which job's turn it is: its place in the turns, and the time that was worked for it.

Chunks that the release before has published are taken by both releases; the sweep makes pending ones of them.

Revision: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("turn", "served_s"):
        op.add_column("jobs", sa.Column(name, sa.Float(53), nullable=False, server_default="0"))


def downgrade() -> None:
    for name in ("turn", "served_s"):
        op.drop_column("jobs", name)
