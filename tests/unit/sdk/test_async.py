"""What only the asynchronous half can get wrong; the rest is tested on the half generated from it."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandlot import AsyncSandbox, AsyncServer, SandboxTimeoutError
from sandlot.sdk import _aio
from sandlot.sdk._tar import PulledFile

from .stub import Stub


async def test_a_day_in_the_life(stub: Stub, tmp_path: Path) -> None:
    lines: list[str] = []

    async def on_stdout(text: str) -> None:
        await asyncio.sleep(0)
        lines.append(text)

    async with await AsyncSandbox.create() as sandbox:
        result = await sandbox.commands.run("echo hi", on_stdout=on_stdout)
        assert result.stdout == "hi\n"
        assert lines == ["hi\n"]
        assert (await sandbox.run_code("1 + 1")).text == "2"
        assert [info.id async for info in AsyncSandbox.list()] == [sandbox.id]
        assert await AsyncServer().is_ready()
    assert (await sandbox.info()).state == "killed"


async def test_files_of_every_kind(stub: Stub, tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"as"
        yield b"ync"

    sandbox = await AsyncSandbox.create()
    await sandbox.files.write("a/one", pieces())
    await sandbox.files.write("a/two", (b"x" for _ in range(3)))
    with (tmp_path / "f").open("wb+") as file:
        file.write(b"file" * 200_000)
        file.seek(0)
        await sandbox.files.write("a/three", file)
    assert await sandbox.files.read("a/one") == "async"
    assert b"".join([chunk async for chunk in sandbox.files.stream("a/two")]) == b"xxx"
    back = await sandbox.files.download("a", tmp_path / "back")
    assert (back / "three").read_bytes() == b"file" * 200_000
    await sandbox.files.upload(back, "b")
    assert [file.name for file in await sandbox.files.list("b")] == ["one", "three", "two"]


async def test_commands_run_side_by_side(stub: Stub) -> None:
    sandbox = await AsyncSandbox.create()
    await sandbox.commands.run("mkfifo fifo")
    reader, writer = await asyncio.gather(
        sandbox.commands.run("cat fifo"), sandbox.commands.run("echo met > fifo")
    )
    assert reader.stdout == "met\n"
    assert writer.ok


async def test_a_cancelled_run_leaves_the_client_usable(stub: Stub) -> None:
    sandbox = await AsyncSandbox.create()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sandbox.commands.run("sleep 60"), 0.2)
    [left] = await sandbox.commands.list()
    assert left.running
    await (await sandbox.commands.connect(left.id)).kill()


async def test_terminal(stub: Stub) -> None:
    sandbox = await AsyncSandbox.create()
    async with sandbox.terminal(30, 100) as terminal:
        await terminal.write("stty size; exit 3\n")
        assert b"30 100" in b"".join([data async for data in terminal])
        assert await terminal.wait() == 3
    async with sandbox.terminal(command="sleep 60") as terminal:
        with pytest.raises(SandboxTimeoutError):
            await terminal.read(timeout=0.1)


async def test_a_cancelled_transfer_ends_its_thread_first() -> None:
    ended = False

    async def forever() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    def consume(stream: PulledFile) -> None:
        nonlocal ended
        try:
            while stream.read(5):
                pass
        finally:
            ended = True

    task = asyncio.create_task(_aio.feed(forever(), consume))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended


def test_each_loop_has_its_own_client_and_closes_it(stub: Stub) -> None:
    handles: list[AsyncSandbox] = []

    async def first() -> None:
        handles.append(await AsyncSandbox.create())

    async def second() -> None:
        assert (await handles[0].commands.run("echo again")).stdout == "again\n"

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(first())
        asyncio.run(second())
        gc.collect()
    assert len(stub.connections) == 2
    assert not any(_aio._by_loop.values())
