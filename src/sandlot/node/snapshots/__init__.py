"""Snapshots on disk: big sparse files, of which the next snapshot keeps only what has changed."""

from __future__ import annotations

from sandlot.node.snapshots.space import Space
from sandlot.node.snapshots.store import Materialised, SnapshotStore, remains

__all__ = ["Materialised", "SnapshotStore", "Space", "remains"]
