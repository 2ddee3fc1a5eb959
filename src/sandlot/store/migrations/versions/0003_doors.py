"""What doors beyond the native one need to know of a sandbox."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("sandboxes", sa.Column("ingress", sa.String(16), nullable=False, server_default="public"))
    op.add_column("sandboxes", sa.Column("secured", sa.Boolean, nullable=False, server_default=sa.true()))
    op.add_column("sandboxes", sa.Column("idempotency_key", sa.String(255)))
    columns = ["tenant", "idempotency_key"]
    op.create_index("sandboxes_by_idempotency_key", "sandboxes", columns, unique=True)


def downgrade() -> None:
    op.drop_index("sandboxes_by_idempotency_key", "sandboxes")
    for name in ("idempotency_key", "secured", "ingress"):
        op.drop_column("sandboxes", name)
