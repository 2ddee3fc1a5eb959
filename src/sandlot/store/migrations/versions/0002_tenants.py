"""Tenants: what was there before belongs to the tenant ``default``."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    tenants = op.create_table(
        "tenants",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("max_sandboxes", sa.Integer),
        sa.Column("max_cpus", sa.Float),
        sa.Column("max_memory_mib", sa.Integer),
        sa.Column("max_disk_mib", sa.Integer),
        sa.Column("creates_per_minute", sa.Integer),
    )
    op.bulk_insert(tenants, [{"name": "default"}])
    for table in ("sandboxes", "keys"):
        column = sa.Column("tenant", sa.String(63), nullable=False, server_default="default")
        op.add_column(table, column)
    op.create_index("sandboxes_by_tenant", "sandboxes", ["tenant", "created_at", "id"])


def downgrade() -> None:
    op.drop_index("sandboxes_by_tenant", "sandboxes")
    for table in ("sandboxes", "keys"):
        op.drop_column(table, "tenant")
    op.drop_table("tenants")
