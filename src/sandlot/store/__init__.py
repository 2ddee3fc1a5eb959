"""What outlives the process: SQL tables and the queries over them."""

from sandlot.store.database import SECONDS, Database, sqlite_url
from sandlot.store.keys import KeyInfo, KeyStore
from sandlot.store.sandboxes import Row, SandboxStore
from sandlot.store.snapshots import SnapshotStore
from sandlot.store.tenants import DEFAULT_TENANT, Quotas, Tenant, TenantStore, TenantUse

__all__ = [
    "DEFAULT_TENANT",
    "SECONDS",
    "Database",
    "KeyInfo",
    "KeyStore",
    "Quotas",
    "Row",
    "SandboxStore",
    "SnapshotStore",
    "Tenant",
    "TenantStore",
    "TenantUse",
    "sqlite_url",
]
