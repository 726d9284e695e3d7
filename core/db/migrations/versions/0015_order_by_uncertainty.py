"""Results in the order of their uncertainty. Apart from 0014, as an index that is built beside the service commits by itself.

Revision: 0015
Revises: 0014
"""

from core.db.migrations import online

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    columns = ["job_id", "uncertainty", "item_no"]
    online.create_index("ix_results_job_id_uncertainty_item_no", "results", columns, where="uncertainty IS NOT NULL")


def downgrade() -> None:
    online.drop_index("ix_results_job_id_uncertainty_item_no", "results")
