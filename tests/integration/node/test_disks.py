"""What a disk slot leaves to the next one of its name: nothing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandlot.errors import Unavailable
from sandlot.node import Node, NodeSettings
from sandlot.node.disks import DiskPool
from sandlot.node.host import agent_binary
from tests.integration.node.conftest import Create, traces

SLOT_BYTES = 16 << 20
RESTING = 16


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[DiskPool]:
    images, points = tmp_path / "images", tmp_path / "points"
    pool = DiskPool(images, points, size=0, slot_bytes=SLOT_BYTES, reserve_bytes=0, agent=agent_binary())
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()
        assert list(images.iterdir()) == []


async def test_names_and_ids_rest_before_they_come_round_and_disks_come_empty(pool: DiskPool) -> None:
    names = []
    for _ in range(RESTING + 8):
        slot, userns = await pool.claim(SLOT_BYTES)
        os.close(userns)
        names.append(slot.name)
        assert list(slot.upper.iterdir()) == []
        assert slot.upper.stat().st_uid == slot.ids.base
        (slot.upper / "secret").write_text("a former tenant's")
        await pool.release(slot)
    assert len(set(names)) < len(names)
    assert all(len(set(names[n : n + RESTING])) == RESTING for n in range(len(names) - RESTING))


async def test_what_is_gone_is_not_named_while_the_rest_is_tried_again(
    node: Node, settings: NodeSettings, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next try its name may be another sandbox's."""
    sandbox = await create()
    record = settings.data_dir / "node" / "sandboxes" / sandbox.id / "record.json"
    release, seen = node._network.release, []

    async def fail_once(name: str) -> None:
        if not seen:
            seen.append(name)
            raise Unavailable("not now")
        seen.append(record.read_text())
        await release(name)

    monkeypatch.setattr(node._network, "release", fail_once)
    await node.destroy(sandbox.id)
    await node.drain()
    assert '"network"' in seen[1]
    assert '"disk"' not in seen[1]
    assert not [trace for trace in traces(settings) if sandbox.id in trace]
