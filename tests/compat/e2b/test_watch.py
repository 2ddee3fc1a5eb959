"""Watches through E2B's clients: those that are asked, and those that tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from e2b import (
    AsyncSandbox,
    FileNotFoundException,
    FilesystemEvent,
    FilesystemEventType,
    FileType,
    InvalidArgumentException,
    NotFoundException,
    RateLimitException,
    Sandbox,
    SandboxException,
    TimeoutException,
)

CHMOD, CREATE, REMOVE, RENAME, WRITE = (
    FilesystemEventType.CHMOD,
    FilesystemEventType.CREATE,
    FilesystemEventType.REMOVE,
    FilesystemEventType.RENAME,
    FilesystemEventType.WRITE,
)


def told(events: Iterable[FilesystemEvent]) -> list[tuple[FilesystemEventType, str]]:
    return [(event.type, event.name) for event in events]


# ── asked ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.e2b("files.watch_dir", "WatchHandle.get_new_events", "WatchHandle.stop")
def test_all_until_now_is_told(sandbox: Sandbox) -> None:
    sandbox.files.make_dir("d")
    watch = sandbox.files.watch_dir("d")
    assert watch.get_new_events() == []
    sandbox.files.write("d/f", "x")
    assert told(watch.get_new_events()) == [(CREATE, "f"), (CHMOD, "f"), (WRITE, "f")]
    sandbox.files.write("d/f", "y")
    assert told(watch.get_new_events()) == [(CHMOD, "f"), (WRITE, "f")]
    sandbox.commands.run("cd d; echo 1 >> f; mv f g; rm g; mkdir e; echo 1 > e/f")
    assert told(watch.get_new_events()) == [
        (WRITE, "f"), (RENAME, "f"), (CREATE, "g"), (REMOVE, "g"), (CREATE, "e"),
    ]  # fmt: skip
    watch.stop()
    with pytest.raises(SandboxException, match="already stopped"):
        watch.get_new_events()


def test_below_and_with_what_there_is_to_know(sandbox: Sandbox) -> None:
    sandbox.files.make_dir("d/e")
    watch = sandbox.files.watch_dir("d", recursive=True, include_entry=True)
    sandbox.files.write("d/e/f", "four")
    events = watch.get_new_events()
    assert told(events) == [(CREATE, "e/f"), (CHMOD, "e/f"), (WRITE, "e/f")]
    entry = events[-1].entry
    assert entry is not None
    assert (entry.path, entry.type, entry.size) == ("/home/user/d/e/f", FileType.FILE, 4)
    sandbox.files.make_dir("d/new/deep")
    sandbox.files.write("d/new/deep/f", "x")
    assert (WRITE, "new/deep/f") in told(watch.get_new_events())
    sandbox.files.remove("d/e/f")
    [gone] = watch.get_new_events()
    assert (gone.type, gone.entry) == (REMOVE, None)


def test_a_folder_that_goes_is_told_and_then_no_more(sandbox: Sandbox) -> None:
    sandbox.files.make_dir("d")
    watch = sandbox.files.watch_dir("d")
    sandbox.files.remove("d")
    assert (REMOVE, ".") in told(watch.get_new_events())
    assert watch.get_new_events() == []
    watch.stop()


def test_what_cannot_be_watched(sandbox: Sandbox) -> None:
    sandbox.files.write("f", "x")
    with pytest.raises(FileNotFoundException):
        sandbox.files.watch_dir("nowhere")
    with pytest.raises(InvalidArgumentException, match="folder"):
        sandbox.files.watch_dir("f")
    first = sandbox.files.watch_dir(".")
    first.stop()
    with pytest.raises(NotFoundException, match="watcher"):
        first.stop()


def test_watchers_are_bounded(sandbox: Sandbox) -> None:
    watches = [sandbox.files.watch_dir(".") for _ in range(32)]
    with pytest.raises(RateLimitException, match="32 watchers"):
        sandbox.files.watch_dir(".")
    watches[0].stop()
    sandbox.files.watch_dir(".")


# ── telling ─────────────────────────────────────────────────────────────────────────────────────────────


class Heard:
    """What a watch has told, and how it ended."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[FilesystemEvent] = asyncio.Queue()
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    async def until(self, kind: FilesystemEventType, name: str) -> list[FilesystemEvent]:
        seen: list[FilesystemEvent] = []
        async with asyncio.timeout(30):
            while not seen or (seen[-1].type, seen[-1].name) != (kind, name):
                seen.append(await self.events.get())
        return seen


@asynccontextmanager
async def watching(sandbox: AsyncSandbox, path: str, **options: object) -> AsyncIterator[Heard]:
    heard = Heard()
    watch = await sandbox.files.watch_dir(
        path,
        on_event=heard.events.put,
        on_exit=heard.ended.set_result,
        **options,  # type: ignore[arg-type]
    )
    try:
        yield heard
    finally:
        await watch.stop()


@pytest.mark.e2b("files.watch_dir")
async def test_changes_are_told_as_they_happen(async_sandbox: AsyncSandbox) -> None:
    await async_sandbox.files.make_dir("d/e")
    async with watching(async_sandbox, "d", recursive=True, include_entry=True) as heard:
        await async_sandbox.files.write("d/e/f", "four")
        seen = await heard.until(WRITE, "e/f")
        assert told(seen) == [(CREATE, "e/f"), (CHMOD, "e/f"), (WRITE, "e/f")]
        assert seen[0].entry is not None
        assert seen[0].entry.size == 4
        await async_sandbox.commands.run("mv d/e/f d/g")
        await heard.until(CREATE, "g")
    assert await heard.ended is None


async def test_a_watch_ends_with_its_folder_and_at_its_timeout(async_sandbox: AsyncSandbox) -> None:
    await async_sandbox.files.make_dir("d")
    async with watching(async_sandbox, "d", timeout=0) as heard:
        await async_sandbox.files.remove("d")
        await heard.until(REMOVE, ".")
        assert await heard.ended is None
    async with watching(async_sandbox, ".", timeout=1) as heard:
        assert isinstance(await heard.ended, TimeoutException)


async def test_a_watch_ends_with_its_sandbox(async_sandbox: AsyncSandbox) -> None:
    async with watching(async_sandbox, ".", timeout=0) as heard:
        await async_sandbox.kill()
        assert isinstance(await heard.ended, SandboxException)


async def test_what_cannot_be_followed(async_sandbox: AsyncSandbox) -> None:
    await async_sandbox.files.write("f", "x")
    with pytest.raises(FileNotFoundException):
        await async_sandbox.files.watch_dir("nowhere", on_event=print)
    with pytest.raises(InvalidArgumentException, match="folder"):
        await async_sandbox.files.watch_dir("f", on_event=print)
