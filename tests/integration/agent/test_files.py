"""Files, folders, trees and watches, as root and as others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from sandlot.errors import (
    Conflict,
    InvalidArgument,
    LimitExceeded,
    NotEnoughSpace,
    NotFound,
    PermissionDenied,
)
from sandlot.node.agent import GuestAgent, TreeEntry, WatchEvent

from .conftest import Guest, run

MIB = 1024 * 1024


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def whole(agent: GuestAgent, path: str, **options: object) -> bytes:
    return b"".join([piece async for piece in agent.read(path, **options)])  # type: ignore[arg-type]


@pytest.fixture
def folder(guest: Guest) -> Path:
    made = guest.folder / "work"
    made.mkdir()
    return made


async def test_a_file_comes_back_as_it_went(agent: GuestAgent, folder: Path) -> None:
    data = os.urandom(3 * MIB + 17)
    pieces = [data[i : i + 700_001] for i in range(0, len(data), 700_001)]
    info = await agent.write(f"{folder}/new/deep/file", chunks(*pieces), mode=0o640, owner="alice:crew")
    assert (info.size, info.mode, info.owner, info.group, info.kind) == (
        len(data), 0o640, "alice", "crew", "file",
    )  # fmt: skip
    assert (folder / "new").stat().st_uid == 1500
    assert await whole(agent, f"{folder}/new/deep/file") == data
    assert await whole(agent, f"{folder}/new/deep/file", offset=1000, length=5000) == data[1000:6000]
    assert await whole(agent, f"{folder}/new/deep/file", offset=len(data)) == b""
    assert [entry.name for entry in (folder / "new" / "deep").iterdir()] == ["file"]


async def test_an_empty_file_is_one(agent: GuestAgent, folder: Path) -> None:
    assert (await agent.write(f"{folder}/empty", chunks())).size == 0
    assert await whole(agent, f"{folder}/empty") == b""


async def test_a_replaced_file_keeps_mode_and_owner(agent: GuestAgent, folder: Path) -> None:
    target = folder / "tool"
    target.write_text("old")
    target.chmod(0o4751)
    os.chown(target, 1500, 1600)
    target.chmod(0o4751)
    info = await agent.write(str(target), chunks(b"new"))
    assert (info.mode, info.uid, info.gid) == (0o4751, 1500, 1600)
    assert target.read_text() == "new"


async def test_writing_through_a_link_keeps_the_link(agent: GuestAgent, folder: Path) -> None:
    (folder / "real").write_text("old")
    (folder / "link").symlink_to("real")
    await agent.write(f"{folder}/link", chunks(b"new"))
    assert (folder / "link").is_symlink()
    assert (folder / "real").read_text() == "new"


async def test_what_is_mounted_over_is_written_in_place(agent: GuestAgent) -> None:
    group = await whole(agent, "/etc/group")
    await agent.write("/etc/group", chunks(group, b"extra:x:1700:\n"))
    assert (await whole(agent, "/etc/group")).endswith(b"extra:x:1700:\n")
    assert [i.name for i in await agent.list("/etc") if i.name.startswith(".sandlot-")] == []


@pytest.mark.parametrize("how", ["cancelled", "failed", "disconnected"])
async def test_a_write_that_does_not_end_leaves_nothing(
    agent: GuestAgent, guest: Guest, folder: Path, how: str
) -> None:
    (folder / "file").write_text("old")
    arrived = asyncio.Event()

    async def never_ending() -> AsyncIterator[bytes]:
        yield b"x" * MIB
        arrived.set()
        if how == "failed":
            raise RuntimeError("the source broke")
        await asyncio.Event().wait()

    writing = asyncio.create_task(agent.write(f"{folder}/file", never_ending()))
    await arrived.wait()
    if how == "cancelled":
        writing.cancel()
    elif how == "disconnected":
        await agent.close()
        writing.cancel()
    with pytest.raises((asyncio.CancelledError, RuntimeError)):
        await writing
    async with asyncio.timeout(10):
        while os.listdir(folder) != ["file"]:
            await asyncio.sleep(0.01)
    assert (folder / "file").read_text() == "old"


async def test_a_full_disk_says_so_and_leaves_nothing(agent: GuestAgent, folder: Path) -> None:
    await run(agent, f"mount -t tmpfs -o size=1m none {folder}")
    with pytest.raises(NotEnoughSpace, match="disk is full"):
        await agent.write(f"{folder}/big", chunks(*[b"x" * MIB] * 4))
    assert await agent.list(str(folder)) == []


async def test_what_cannot_be_read_says_why(agent: GuestAgent, folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    for path, error in [
        ("/no/such", NotFound),
        (str(folder), InvalidArgument),
        (f"{folder}/fifo", InvalidArgument),
        ("/dev/zero", InvalidArgument),
        ("", InvalidArgument),
        ("a\0b", InvalidArgument),
        ("/" + "x" * 5000, InvalidArgument),
    ]:
        with pytest.raises(error):
            await whole(agent, path)
    assert b"cpu" in await whole(agent, "/proc/stat")


async def test_a_user_may_do_what_the_user_may_do(agent: GuestAgent, guest: Guest, folder: Path) -> None:
    (folder / "secret").write_text("x")
    (folder / "secret").chmod(0o600)
    (folder / "crew").write_text("for the crew")
    os.chown(folder / "crew", 0, 1600)
    (folder / "crew").chmod(0o640)
    with pytest.raises(PermissionDenied, match="for user bob"):
        await whole(agent, f"{folder}/secret", user="bob")
    for call in (
        agent.write(f"{folder}/x", chunks(b"x"), user="bob"),
        agent.remove(f"{folder}/crew", user="bob"),
        agent.chmod(f"{folder}/crew", 0o777, user="bob"),
        agent.chown(f"{folder}/crew", "bob", user="bob"),
        agent.mkdir(f"{folder}/y", user="bob"),
        agent.move(f"{folder}/crew", f"{guest.folder}/bob/crew", user="bob"),
        agent.list("/root", user="bob"),
    ):
        with pytest.raises(PermissionDenied):
            await call
    assert await whole(agent, f"{folder}/crew", user="bob") == b"for the crew"
    mine = await agent.write("notes/mine", chunks(b"x"), user="bob")
    assert (mine.path, mine.owner, mine.group) == (f"{guest.folder}/bob/notes/mine", "bob", "bob")
    assert (await agent.stat("notes", user="bob")).owner == "bob"
    with pytest.raises(InvalidArgument, match="no such user"):
        await agent.stat("/", user="nobody-here")
    with pytest.raises(InvalidArgument, match="no such user or group"):
        await agent.chown(f"{folder}/crew", "nobody-here")
    assert await whole(agent, f"{folder}/secret") == b"x"


async def test_folders(agent: GuestAgent, folder: Path) -> None:
    assert await agent.mkdir(f"{folder}/a/b", mode=0o1777) is True
    assert (folder / "a" / "b").stat().st_mode & 0o7777 == 0o1777
    assert await agent.mkdir(f"{folder}/a/b") is False
    (folder / "file").touch()
    with pytest.raises(Conflict):
        await agent.mkdir(f"{folder}/file")
    with pytest.raises(NotFound):
        await agent.mkdir(f"{folder}/q/r", parents=False)
    with pytest.raises(Conflict, match="not empty"):
        await agent.remove(f"{folder}/a", recursive=False)
    with pytest.raises(InvalidArgument):
        await agent.remove("/")
    await agent.remove(f"{folder}/a")
    with pytest.raises(NotFound):
        await agent.remove(f"{folder}/a")


async def test_listing(agent: GuestAgent, folder: Path) -> None:
    (folder / "d" / "e").mkdir(parents=True)
    (folder / "d" / "e" / "f").write_text("12345")
    (folder / "l").symlink_to("d/e/f")
    (folder / os.fsdecode(b"caf\xe9")).touch()
    flat = await agent.list(str(folder))
    assert {(i.name, i.kind, i.target) for i in flat} == {
        (os.fsdecode(b"caf\xe9"), "file", None),
        ("d", "dir", None),
        ("l", "symlink", "d/e/f"),
    }
    deep = await agent.list(str(folder), depth=3)
    assert {i.path for i in deep} >= {f"{folder}/d/e/f", f"{folder}/d/e"}
    assert {i.size for i in deep if i.name == "f"} == {5}
    with pytest.raises(InvalidArgument, match="not a directory"):
        await agent.list(f"{folder}/d/e/f")
    with pytest.raises(NotFound):
        await agent.list(f"{folder}/none")
    assert (await agent.stat(f"{folder}/l")).kind == "file"
    link = await agent.stat(f"{folder}/l", follow=False)
    assert (link.kind, link.target) == ("symlink", "d/e/f")


async def test_a_listing_has_a_bound(agent: GuestAgent, folder: Path) -> None:
    many = folder / "many"
    many.mkdir()
    descriptor = os.open(many, os.O_RDONLY)
    for number in range(100_001):
        os.close(os.open(str(number), os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    with pytest.raises(LimitExceeded, match="100000"):
        await agent.list(str(many))
    os.unlink("0", dir_fd=descriptor)
    os.close(descriptor)
    assert len(await agent.list(str(many))) == 100_000
    await agent.remove(str(many))


async def test_moving(agent: GuestAgent, folder: Path) -> None:
    (folder / "a").write_text("a")
    (folder / "b").write_text("b")
    with pytest.raises(Conflict):
        await agent.move(f"{folder}/a", f"{folder}/b", overwrite=False)
    assert (await agent.move(f"{folder}/a", f"{folder}/b")).path == f"{folder}/b"
    assert (folder / "b").read_text() == "a"
    await agent.move(f"{folder}/b", f"{folder}/new/place")
    with pytest.raises(NotFound):
        await agent.move(f"{folder}/b", f"{folder}/c")
    with pytest.raises(InvalidArgument, match="into itself"):
        await agent.move(f"{folder}/new", f"{folder}/new/in/itself")
    await run(agent, f"mkdir {folder}/disk && mount -t tmpfs none {folder}/disk")
    await agent.move(f"{folder}/new", f"{folder}/disk/new")
    assert await whole(agent, f"{folder}/disk/new/place") == b"a"
    assert not (folder / "new").exists()


async def test_copying(agent: GuestAgent, folder: Path) -> None:
    source = folder / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_bytes(os.urandom(MIB))
    (source / "sub" / "file").chmod(0o750)
    os.chown(source / "sub" / "file", 1500, 1600)
    (source / "link").symlink_to("sub/file")
    (source / "sub").chmod(0o711)
    await agent.copy(str(source), f"{folder}/copy")
    copied = folder / "copy" / "sub" / "file"
    assert copied.read_bytes() == (source / "sub" / "file").read_bytes()
    assert (copied.stat().st_mode & 0o7777, copied.stat().st_uid) == (0o750, 1500)
    assert os.readlink(folder / "copy" / "link") == "sub/file"
    assert (folder / "copy" / "sub").stat().st_mode & 0o777 == 0o711
    with pytest.raises(Conflict):
        await agent.copy(str(source), f"{folder}/copy")
    await agent.copy(str(source), f"{source}/sub/inside")
    assert (source / "sub" / "inside" / "sub" / "file").exists()
    assert not (source / "sub" / "inside" / "sub" / "inside").exists()


async def test_a_long_call_does_not_hold_up_others(agent: GuestAgent, folder: Path) -> None:
    with (folder / "sparse").open("wb") as sparse:
        sparse.truncate(2 << 30)
    copying = asyncio.create_task(agent.copy(f"{folder}/sparse", f"{folder}/copy"))
    for _ in range(20):
        await agent.stat(str(folder))
        assert (await run(agent, "echo quick")).stdout == b"quick\n"
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    async with asyncio.timeout(10):
        while os.listdir(folder) != ["sparse"]:
            await asyncio.sleep(0.01)


async def test_readers_that_stand_still_do_not_hold_up_others(agent: GuestAgent, folder: Path) -> None:
    (folder / "file").write_bytes(bytes(8 * MIB))
    readers = [agent.read(f"{folder}/file") for _ in range(20)]
    for reader in readers:
        await anext(reader)
    assert (await whole(agent, f"{folder}/file")) == bytes(8 * MIB)
    for reader in readers:
        await reader.aclose()
    await agent.ping()


async def test_attributes(agent: GuestAgent, folder: Path) -> None:
    (folder / "f").touch()
    assert (await agent.chmod(f"{folder}/f", 0o4711)).mode == 0o4711
    owned = await agent.chown(f"{folder}/f", "alice:")
    assert (owned.owner, owned.group) == ("alice", "alice")
    assert (await agent.chown(f"{folder}/f", ":crew")).group == "crew"
    assert (await agent.chown(f"{folder}/f", "1501:0")).uid == 1501
    with pytest.raises(InvalidArgument):
        await agent.chmod(f"{folder}/f", 0o10000)


# ---- trees ----


async def as_items(*items: TreeEntry | bytes) -> AsyncIterator[TreeEntry | bytes]:
    for item in items:
        yield item


async def test_a_tree_comes_back_as_it_went(agent: GuestAgent, folder: Path) -> None:
    source = folder / "source"
    (source / "sub" / "empty").mkdir(parents=True)
    (source / "big").write_bytes(os.urandom(2 * MIB + 3))
    (source / "none").touch()
    (source / "sub" / "link").symlink_to("../big")
    (source / "sub" / "script").write_text("#!/bin/sh\n")
    (source / "sub" / "script").chmod(0o755)
    os.chown(source / "sub" / "script", 1500, 1600)
    (source / "sub").chmod(0o500)
    os.mkfifo(source / "fifo")
    items = [item async for item in agent.read_tree(str(source))]
    assert isinstance(items[0], TreeEntry)
    assert (items[0].path, items[0].kind) == ("", "dir")
    count = await agent.write_tree(f"{folder}/copy", as_items(*items))
    assert count == 7
    difference = await run(agent, f"diff -r --no-dereference -x fifo {source} {folder}/copy")
    assert difference.stdout == b""
    script = (folder / "copy" / "sub" / "script").stat()
    assert (script.st_mode & 0o7777, script.st_uid, script.st_gid) == (0o755, 1500, 1600)
    assert int(script.st_mtime) == int((source / "sub" / "script").stat().st_mtime)
    assert (folder / "copy" / "sub").stat().st_mode & 0o777 == 0o500


async def test_a_tree_cannot_be_written_wrongly(agent: GuestAgent, folder: Path) -> None:
    for items, error in [
        ((TreeEntry("../out", "file"),), InvalidArgument),
        ((TreeEntry("/etc/out", "file"),), InvalidArgument),
        ((TreeEntry("a/../../out", "file"),), InvalidArgument),
        ((TreeEntry("f", "file", size=3), b"toolong"), InvalidArgument),
        ((TreeEntry("f", "file", size=3), b"a"), InvalidArgument),
        ((b"data of nothing",), InvalidArgument),
        ((TreeEntry("x", "other"),), InvalidArgument),
    ]:
        with pytest.raises(error):
            await agent.write_tree(f"{folder}/tree", as_items(*items))
    assert list((folder / "tree").iterdir()) == []
    with pytest.raises(PermissionDenied):
        await agent.write_tree(f"{folder}/tree", as_items(TreeEntry("f", "file")), user="bob")
    await agent.write_tree("mine", as_items(TreeEntry("d/f", "file", size=1), b"x"), user="bob")
    assert (await agent.stat("mine/d/f", user="bob")).owner == "bob"
    with pytest.raises(NotFound):
        _ = [item async for item in agent.read_tree("/no/such")]


# ---- watches ----


async def next_event(events: AsyncIterator[WatchEvent]) -> WatchEvent:
    async with asyncio.timeout(10):
        return await anext(events)


async def until(events: AsyncIterator[WatchEvent], kind: str, path: Path) -> list[WatchEvent]:
    seen: list[WatchEvent] = []
    while not seen or (seen[-1].kind, seen[-1].path) != (kind, str(path)):
        seen.append(await next_event(events))
    return seen


async def test_a_watch_tells_what_happens(agent: GuestAgent, folder: Path) -> None:
    async with await agent.watching(str(folder)) as watch:
        events = aiter(watch)
        (folder / "f").write_text("x")
        (folder / "f").chmod(0o600)
        (folder / "f").rename(folder / "g")
        (folder / "g").unlink()
        (folder / "d").mkdir()
        (folder / "d" / "below").touch()
        seen = await until(events, "create", folder / "d")
    assert [(e.kind, Path(e.path).name, e.is_dir) for e in seen] == [
        ("create", "f", False), ("write", "f", False), ("chmod", "f", False), ("rename", "f", False),
        ("create", "g", False), ("remove", "g", False), ("create", "d", True),
    ]  # fmt: skip


def told(events: list[WatchEvent]) -> list[tuple[str, str]]:
    return [(event.kind, Path(event.path).name) for event in events]


async def test_a_watch_tells_of_what_is_written_through_the_agent_as_if_in_place(
    agent: GuestAgent, folder: Path
) -> None:
    async with await agent.watching(str(folder)) as watch:
        await agent.write(f"{folder}/new", chunks(b"x"))
        assert told(await watch.so_far(100)) == [("create", "new"), ("write", "new")]
        await agent.write(f"{folder}/new", chunks(b"xy"))
        assert told(await watch.so_far(100)) == [("write", "new")]
        await agent.write(f"{folder}/owned", chunks(b"x"), owner="alice")
        await agent.write(f"{folder}/owned", chunks(b"x"), mode=0o600)
        assert told(await watch.so_far(100)) == [
            ("create", "owned"), ("chmod", "owned"), ("write", "owned"),
            ("chmod", "owned"), ("write", "owned"),
        ]  # fmt: skip
        assert await watch.so_far(100) == []


async def test_what_happened_until_now_is_told_without_waiting(agent: GuestAgent, folder: Path) -> None:
    async with await agent.watching(str(folder)) as watch:
        for round in range(3000):  # more marks than there is credit for at once
            (folder / "f").touch()
            (folder / "f").unlink()
            assert len(await watch.so_far(100)) >= 2, round
        await run(agent, f"cd {folder}; for i in $(seq 500); do : > $i; done")
        first, rest = await watch.so_far(100), await watch.so_far(10_000)
        assert len(first) == 100
        created = [event.path for event in (*first, *rest) if event.kind == "create"]
        assert len(created) == len(set(created)) == 500
        folder.rename(folder.with_name("gone"))
        assert told(await watch.so_far(100)) == [("rename", "work")]
        assert watch.over
        assert await watch.so_far(100) == []


async def test_folders_on_the_way_belong_to_whom_they_are_made_for(agent: GuestAgent, folder: Path) -> None:
    assert await agent.mkdir(f"{folder}/a/b", owner="alice")
    await agent.write(f"{folder}/f", chunks(b"x"))
    moved = await agent.move(f"{folder}/f", f"{folder}/c/d/f", owner="alice")
    assert moved.owner == "root"
    for path in ("a", "a/b", "c", "c/d"):
        assert (folder / path).stat().st_uid == 1500
    with pytest.raises(InvalidArgument, match="nobody-here"):
        await agent.mkdir(f"{folder}/e", owner="nobody-here")


async def test_a_link_can_be_followed_by_name(agent: GuestAgent, folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "real" / "f").write_text("xy")
    (folder / "way").symlink_to("real")
    (folder / "link").symlink_to("way/f")
    info = await agent.stat(f"{folder}/link", resolve=True)
    assert (info.path, info.kind, info.size) == (f"{folder}/real/f", "file", 2)
    (folder / "link").unlink()
    (folder / "link").symlink_to("link")
    with pytest.raises(InvalidArgument):
        await agent.stat(f"{folder}/link", resolve=True)


async def test_a_recursive_watch_follows_new_and_renamed_folders(agent: GuestAgent, folder: Path) -> None:
    (folder / "old").mkdir()
    async with await agent.watching(str(folder), recursive=True) as watch:
        events = aiter(watch)
        (folder / "old" / "f").touch()
        await until(events, "create", folder / "old" / "f")
        (folder / "new" / "deep").mkdir(parents=True)
        (folder / "new" / "deep" / "g").touch()
        await until(events, "create", folder / "new" / "deep" / "g")
        (folder / "new").rename(folder / "moved")
        await until(events, "create", folder / "moved" / "deep" / "g")
        (folder / "moved" / "deep" / "h").touch()
        await until(events, "create", folder / "moved" / "deep" / "h")


async def test_a_watch_ends_with_its_folder(agent: GuestAgent, folder: Path) -> None:
    async with await agent.watching(str(folder)) as watch:
        await agent.remove(str(folder))
        async with asyncio.timeout(10):
            seen = [event async for event in watch]
    assert (seen[-1].kind, seen[-1].path) == ("remove", str(folder))
    with pytest.raises(NotFound):
        await agent.watching(str(folder))


async def test_a_watch_that_nobody_reads_overflows_and_says_so(agent: GuestAgent, folder: Path) -> None:
    async with await agent.watching(str(folder)) as watch:
        script = "i=0; while [ $i -lt 30000 ]; do : > $i; i=$((i+1)); done; rm -f *"
        await run(agent, f"cd {folder} && {script}")
        async with asyncio.timeout(30):
            async for event in watch:
                if event.kind == "overflow":
                    break
    async with aclosing(agent.watch(str(folder))) as events:
        waiting = asyncio.ensure_future(anext(events))
        while not waiting.done():
            await agent.write(f"{folder}/again", chunks(b"x"))
        assert waiting.result().kind != "overflow"


async def test_watches_are_bounded_and_given_back(agent: GuestAgent, folder: Path) -> None:
    watches = [await agent.watching(str(folder)) for _ in range(64)]
    with pytest.raises(LimitExceeded, match="watches"):
        await agent.watching(str(folder))
    for watch in watches:
        await watch.close()
    async with asyncio.timeout(10):
        while True:
            try:
                await (await agent.watching(str(folder))).close()
                break
            except LimitExceeded:
                await asyncio.sleep(0.01)
