"""The tables. One definition serves SQLite and PostgreSQL; migrations in ``migrations/`` follow it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    true,
)

metadata = MetaData()


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, kept as whole microseconds since 1970: sorts and compares alike in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        if value is None:
            return None
        return round(value.timestamp() * 1_000_000)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return datetime.fromtimestamp(value / 1_000_000, UTC)


sandboxes = Table(
    "sandboxes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(63), nullable=False, server_default="default"),
    Column("template", String(128), nullable=False),
    Column("template_id", String(128), nullable=False),
    Column("isolation", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("cpus", Float, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disk_mib", Integer, nullable=False),
    Column("pids", Integer, nullable=False),
    Column("internet", Boolean, nullable=False),
    Column("hostname", String(64), nullable=False),
    Column("env", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("guest", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("deadline", Instant),
    Column("ended_at", Instant),
    Column("ingress", String(16), nullable=False, server_default="public"),
    Column("secured", Boolean, nullable=False, server_default=true()),
    Column("idempotency_key", String(255)),
    Column("idempotency_digest", String(64)),
    Column("timeout_s", Float),
    Column("on_timeout", String(16), nullable=False, server_default="kill"),
    Column("pause_memory", Boolean, nullable=False, server_default=true()),
    Column("pause_idle_s", Float),
    Column("auto_resume", Boolean, nullable=False, server_default=true()),
    Column("keep_paused_s", Float),
    Column("paused_at", Instant),
    Column("depth", String(16)),
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("snapshot_id", String(32)),
    Column("parent_id", String(32)),
    Column("hooks", JSON, nullable=False, server_default="{}"),
    Index("sandboxes_by_age", "created_at", "id"),
    Index("sandboxes_by_state", "state"),
    Index("sandboxes_by_tenant", "tenant", "created_at", "id"),
    Index("sandboxes_by_idempotency_key", "tenant", "idempotency_key", unique=True),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("sandbox_id", String(32), ForeignKey("sandboxes.id", ondelete="CASCADE"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("from_state", String(16)),
    Column("to_state", String(16)),
    Column("reason", Text),
    Column("details", JSON, nullable=False),
    Index("events_by_sandbox", "sandbox_id", "id"),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("name", String(128)),
    Column("sandbox_id", String(32), nullable=False),
    Column("memory", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("size_bytes", BigInteger, nullable=False),
    Column("stored_bytes", BigInteger, nullable=False),
    Column("template", String(128), nullable=False),
    Column("template_id", String(128), nullable=False),
    Column("isolation", String(16), nullable=False),
    Column("cpus", Float, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disk_mib", Integer, nullable=False),
    Column("pids", Integer, nullable=False),
    Column("internet", Boolean, nullable=False),
    Column("env", JSON, nullable=False),
    Column("guest", JSON, nullable=False),
    Column("hooks", JSON, nullable=False),
    Column("generation", Integer, nullable=False),
    Index("snapshots_by_tenant", "tenant", "created_at", "id"),
    Index("snapshots_by_name", "tenant", "name", unique=True),
    Index("snapshots_by_expiry", "expires_at"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(63), nullable=False, server_default="default"),
    Column("name", String(128), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("hint", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
)

tenants = Table(
    "tenants",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("max_sandboxes", Integer),
    Column("max_cpus", Float),
    Column("max_memory_mib", Integer),
    Column("max_disk_mib", Integer),
    Column("creates_per_minute", Integer),
)
