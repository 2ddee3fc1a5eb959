"""Sandboxes that are paused and come back, and snapshots."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_COLUMNS = (
    sa.Column("timeout_s", sa.Float),
    sa.Column("on_timeout", sa.String(16), nullable=False, server_default="kill"),
    sa.Column("pause_memory", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("pause_idle_s", sa.Float),
    sa.Column("auto_resume", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("keep_paused_s", sa.Float),
    sa.Column("paused_at", sa.BigInteger),
    sa.Column("depth", sa.String(16)),
    sa.Column("generation", sa.Integer, nullable=False, server_default="0"),
    sa.Column("snapshot_id", sa.String(32)),
    sa.Column("parent_id", sa.String(32)),
    sa.Column("hooks", sa.JSON, nullable=False, server_default="{}"),
)


def upgrade() -> None:
    for column in _COLUMNS:
        op.add_column("sandboxes", column._copy())
    op.create_table(
        "snapshots",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("name", sa.String(128)),
        sa.Column("sandbox_id", sa.String(32), nullable=False),
        sa.Column("memory", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("stored_bytes", sa.BigInteger, nullable=False),
        sa.Column("template", sa.String(128), nullable=False),
        sa.Column("template_id", sa.String(128), nullable=False),
        sa.Column("isolation", sa.String(16), nullable=False),
        sa.Column("cpus", sa.Float, nullable=False),
        sa.Column("memory_mib", sa.Integer, nullable=False),
        sa.Column("disk_mib", sa.Integer, nullable=False),
        sa.Column("pids", sa.Integer, nullable=False),
        sa.Column("internet", sa.Boolean, nullable=False),
        sa.Column("env", sa.JSON, nullable=False),
        sa.Column("guest", sa.JSON, nullable=False),
        sa.Column("hooks", sa.JSON, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
    )
    op.create_index("snapshots_by_tenant", "snapshots", ["tenant", "created_at", "id"])
    op.create_index("snapshots_by_name", "snapshots", ["tenant", "name"], unique=True)
    op.create_index("snapshots_by_expiry", "snapshots", ["expires_at"])


def downgrade() -> None:
    op.drop_table("snapshots")
    for column in reversed(_COLUMNS):
        op.drop_column("sandboxes", column.name)
