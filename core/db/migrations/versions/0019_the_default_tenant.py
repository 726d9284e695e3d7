"""The built-in tenant is called `default`, as in commands and documents.

Revision: 0019
Revises: 0018
"""

from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

contract = "renames one row; no release before this one reads a tenant's name"

TENANTS = sa.table("tenants", sa.column("id", sa.Uuid()), sa.column("name", sa.Text()))
LOCAL_TENANT_ID = UUID("00000000-0000-7000-8000-000000000001")


def upgrade() -> None:
    op.execute(TENANTS.update().where(TENANTS.c.id == LOCAL_TENANT_ID).values(name="default"))


def downgrade() -> None:
    op.execute(TENANTS.update().where(TENANTS.c.id == LOCAL_TENANT_ID).values(name="local"))
