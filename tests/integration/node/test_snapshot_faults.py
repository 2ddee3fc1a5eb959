"""Snapshots where the disk fills up, the runtime dies, the store is damaged, or another runtime is there."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandlot.errors import Conflict, NotEnoughSpace, NotFound, SandlotError
from sandlot.node import Node, NodeSandbox, NodeSettings, SandboxSpec, Tier, ext4
from sandlot.node.snapshots import Space
from tests.integration.node.conftest import MIB, Create, run
from tests.integration.node.test_pausing import counted, counting, written


@pytest.fixture
def tier() -> Tier:
    """Where memory is kept."""
    return Tier.GVISOR


@pytest.fixture
async def sandbox(create: Create) -> NodeSandbox:
    made = await create()
    await counting(made)
    return made


@pytest.fixture
def folder(settings: NodeSettings) -> Path:
    return settings.data_dir / "node" / "snapshots"


def store_files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


async def goes_on(sandbox: NodeSandbox) -> None:
    await counted(sandbox, written(sandbox))
    assert (await run(sandbox.agent, "echo on")).out == "on\n"


class TestFullDisk:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Iterator[NodeSettings]:
        """A disk of its own, which really is full when it is."""
        image, data_dir = tmp_path / "image", tmp_path / "data"
        ext4.make(image, 400 * MIB)
        data_dir.mkdir()
        subprocess.run(["mount", "-o", "loop", image, data_dir], check=True)
        try:
            yield NodeSettings(
                data_dir=data_dir,
                network_slots=1,
                disk_slots=0,
                default_disk_bytes=64 * MIB,
                host_reserve_bytes=0,
            )
        finally:
            subprocess.run(["umount", data_dir], check=True)

    @pytest.fixture
    def spec(self, spec: SandboxSpec) -> SandboxSpec:
        return replace(spec, disk_bytes=64 * MIB)

    @pytest.mark.parametrize("noticed", ["before", "in-the-middle"])
    async def test_it_is_told_and_all_is_as_before(
        self,
        node: Node,
        sandbox: NodeSandbox,
        settings: NodeSettings,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        noticed: str,
    ) -> None:
        await node.snapshot(sandbox.id, "first", memory=True)
        before = store_files(folder)
        ballast = settings.data_dir / "ballast"
        free = os.statvfs(settings.data_dir)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - MIB)
        with monkeypatch.context() as patch:
            if noticed == "in-the-middle":  # somebody else takes the room once it has been looked for
                patch.setattr(Space, "check", lambda *_: None)
            with pytest.raises(NotEnoughSpace):
                await node.snapshot(sandbox.id, "second", memory=True)
        await goes_on(sandbox)
        assert store_files(folder) == before
        assert list((settings.data_dir / "node" / "captures").glob("*")) == []
        ballast.unlink()
        await node.snapshot(sandbox.id, "second", memory=True)
        await goes_on(sandbox)
        for id in ("first", "second"):
            await node.delete_snapshot(id)


async def test_a_runtime_that_dies_leaves_no_snapshot(
    node: Node, sandbox: NodeSandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: Path) -> None:
        os.kill(sandbox.parts.main.pid, signal.SIGKILL)
        raise OSError(5, "the sandbox has died")

    with monkeypatch.context() as patch:
        patch.setattr(ext4, "settle", die)
        with pytest.raises(SandlotError):
            await node.snapshot(sandbox.id, "snap", memory=True)
    assert store_files(folder) == set()
    assert list((folder.parent / "captures").glob("*")) == []


async def test_the_next_snapshot_of_a_sandbox_and_of_one_made_from_it_keeps_what_changed(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec
) -> None:
    process = await run(sandbox.agent, "head -c 60M /dev/urandom > /dev/shm/held; echo held")
    assert process.out == "held\n"
    first = await node.snapshot(sandbox.id, "first", memory=True)
    second = await node.snapshot(sandbox.id, "second", memory=True)
    assert first.stored_bytes > 60 * MIB
    assert second.stored_bytes < first.stored_bytes / 4
    other = await node.restore(replace(spec, id="sbother"), "second", memory=True)
    third = await node.snapshot("sbother", "third", memory=True)
    assert third.stored_bytes < first.stored_bytes / 4
    await node.destroy(other.id)
    assert set(await node.delete_snapshot("first")) == {"second"}
    for name in ("second", "third"):
        again = await node.restore(replace(spec, id=f"sb{name}"), name, memory=True)
        assert (await run(again.agent, "wc -c < /dev/shm/held")).out == f"{60 * MIB}\n"
        await node.destroy(again.id)


@pytest.mark.parametrize("harm", ["flipped", "cut", "lost"])
async def test_a_damaged_one_is_told_and_nothing_is_made_of_it(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, folder: Path, harm: str
) -> None:
    await node.snapshot(sandbox.id, "whole", memory=False)
    whole = set((folder / "packs").iterdir())
    await node.snapshot(sandbox.id, "snap", memory=True)
    # Its memory takes most: the disk's image is sparse.
    harmed = max(set((folder / "packs").iterdir()) - whole, key=lambda path: path.stat().st_blocks)
    if harm == "flipped":
        with harmed.open("r+b") as file:
            file.seek(harmed.stat().st_size // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
    elif harm == "cut":
        os.truncate(harmed, harmed.stat().st_size - 4096)
    else:
        harmed.unlink()
    with pytest.raises(Conflict, match="snapshot snap is damaged"):
        await node.restore(replace(spec, id="sbchild"), "snap", memory=True)
    with pytest.raises(Conflict, match="snapshot snap is damaged"):
        await node.roll_back(sandbox.id, spec, "snap")
    await node.drain()
    await goes_on(sandbox)
    other = await node.restore(replace(spec, id="sbchild"), "whole", memory=False)
    assert (await run(other.agent, "echo on")).out == "on\n"
    await node.destroy(other.id)
    await node.delete_snapshot("snap")
    with pytest.raises(NotFound):
        await node.restore(replace(spec, id="sbchild"), "snap", memory=True)


async def test_memory_of_another_version_of_the_runtime_is_refused_and_files_are_not(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(sandbox.agent, "echo mine > /root/mine")
    await node.snapshot(sandbox.id, "snap", memory=True)
    monkeypatch.setitem(node._maker.runtimes, Tier.GVISOR, "of-another-day")
    with pytest.raises(Conflict, match="of-another-day"):
        await node.restore(replace(spec, id="sbchild"), "snap", memory=True)
    await node.drain()
    other = await node.restore(replace(spec, id="sbchild"), "snap", memory=False)
    assert (await run(other.agent, "cat /root/mine")).out == "mine\n"
    await node.destroy(other.id)
    await goes_on(sandbox)
