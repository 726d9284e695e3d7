"""The database refuses to change or remove records of the audit and of models' moves.

Revision: 0033
Revises: 0032
"""

from core.db.migrations import online

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

TABLES = ("audit_events", "model_events")


def upgrade() -> None:
    for table in TABLES:
        online.make_append_only(table)


def downgrade() -> None:
    for table in TABLES:
        online.make_changeable(table)
