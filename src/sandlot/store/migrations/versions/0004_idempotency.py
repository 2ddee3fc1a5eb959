"""What a creation with a key asked for, so that another request with the same key is told."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("sandboxes", sa.Column("idempotency_digest", sa.String(64)))


def downgrade() -> None:
    op.drop_column("sandboxes", "idempotency_digest")
