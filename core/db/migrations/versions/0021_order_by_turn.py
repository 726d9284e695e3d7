"""Jobs in the order of their turns. Apart from 0020, as an index that is built beside the service commits by itself.

Revision: 0021
Revises: 0020
"""

from core.db.migrations import online

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.create_index("ix_jobs_state_turn_id", "jobs", ["state", "turn", "id"])


def downgrade() -> None:
    online.drop_index("ix_jobs_state_turn_id", "jobs")
