"""What outlives the process: SQL tables and the queries over them."""

from sandlot.store.database import Database, sqlite_url
from sandlot.store.keys import KeyInfo, KeyStore
from sandlot.store.sandboxes import Row, SandboxStore

__all__ = ["Database", "KeyInfo", "KeyStore", "Row", "SandboxStore", "sqlite_url"]
