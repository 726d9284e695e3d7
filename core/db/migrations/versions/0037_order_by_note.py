"""Results that have notes, in the order of items and of risk: as a rule few rows of a job, found without reading the others.

Revision: 0037
Revises: 0036
"""

from core.db.migrations import online

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    noted = "notes IS NOT NULL"
    online.create_index("ix_results_noted_job_id_item_no", "results", ["job_id", "item_no", "notes"], where=noted)
    online.create_index("ix_results_noted_job_id_risk_item_no", "results", ["job_id", "risk", "item_no", "notes"], where=noted)


def downgrade() -> None:
    online.drop_index("ix_results_noted_job_id_risk_item_no", "results")
    online.drop_index("ix_results_noted_job_id_item_no", "results")
