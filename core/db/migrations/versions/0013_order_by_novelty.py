"""Results in the order of their novelty. Apart from 0012, as an index that is built beside the service commits by itself.

Revision: 0013
Revises: 0012
"""

from core.db.migrations import online

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.create_index("ix_results_job_id_novelty_item_no", "results", ["job_id", "novelty", "item_no"])


def downgrade() -> None:
    online.drop_index("ix_results_job_id_novelty_item_no", "results")
