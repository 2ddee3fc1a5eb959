"""Root in a sandbox replaces our agent, PID 1, by a program that speaks its protocol badly.

Whoever calls that sandbox gets an error in bounded time; it can be killed; nobody else notices.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, Final

import pytest

from sandlot import AsyncSandbox, AuthenticationError, SandboxError
from sandlot.server.local import LocalServer
from tests.integration.api.test_crowd import resident_bytes

SOURCE: Final = Path(__file__).resolve().parent / "programs" / "hostile.c"
MIB: Final = 1024 * 1024
GROWTH: Final = 160 * MIB
"""Of the server, in all of a test: several guests at once may each have what their calls may hold."""
BOUND_S: Final = 100.0
"""The longest that any call here may take: three deadlines of 30 s, and change."""
AT_ONCE: Final = 6
TIMEOUT_S: Final = 1800.0

# Broken at once, or again after each reconnection: such a sandbox ends by itself.
ENDING: Final = ("silent", "garbage", "hang-up", "breach", "enormous")
# These go on, for as long as nobody asks them anything.
LINGERING: Final = (
    "drop", "stall", "trickle", "pong-flood", "error-flood", "window-flood", "empty-window",
    "strange-channel", "out-of-order", "twice", "after-end", "beyond-credit", "empty-entries", "nonsense",
    "lie", "unauthenticated",
)  # fmt: skip

pytestmark = pytest.mark.skipif(
    os.uname().machine != "x86_64", reason="the program that takes PID 1 over knows this machine's calls only"
)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    built = tmp_path_factory.mktemp("hostile") / "hostile"
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl", "-O1", "-static", "-s"]
    subprocess.run([*compiler, "-Wall", "-Wextra", "-Werror", "-o", built, SOURCE], check=True)
    return built.read_bytes()


@pytest.fixture
async def quiet(server: LocalServer) -> AsyncIterator[AsyncSandbox]:
    """The neighbour."""
    async with await AsyncSandbox.create("base", timeout=TIMEOUT_S) as sandbox:
        yield sandbox


async def take_over(sandbox: AsyncSandbox, program: bytes, mode: str) -> int:
    """The exit code: 0 where PID 1 will be the program in a moment."""
    await sandbox.files.write("/tmp/hostile", program, mode=0o755)
    result = await sandbox.commands.run(["/tmp/hostile", "become", mode], user="root", timeout=20)
    return int(result.exit_code)


async def replaced(sandbox: AsyncSandbox) -> None:
    """Until the host has lost the agent: a command that only the real one can end is cut off."""
    with pytest.raises(SandboxError):
        await sandbox.commands.run(["sleep", "60"], timeout=20)


async def _stream(sandbox: AsyncSandbox) -> None:
    size = 0
    async for piece in sandbox.files.stream("/etc/hostname"):
        size += len(piece)
    assert size < MIB, "a file of ten bytes went on for ever"


def asked(sandbox: AsyncSandbox) -> list[Awaitable[Any]]:
    """One of each kind of call."""
    return [
        sandbox.files.stat("/tmp"),
        sandbox.files.list("/tmp"),
        sandbox.files.write("/tmp/new", b"x" * MIB),
        sandbox.files.make_dir("/tmp/folder"),
        _stream(sandbox),
        sandbox.commands.list(),
        sandbox.commands.run("true", timeout=5),
        sandbox.metrics(),
    ]


async def outcome(call: Awaitable[Any], mode: str) -> None:
    """It answers, or says what went wrong, and does so in time."""
    told: SandboxError | None = None
    begun = time.monotonic()
    try:
        async with asyncio.timeout(BOUND_S):
            await call
    except SandboxError as error:
        told = error
    except TimeoutError:
        raise AssertionError(f"{mode}: a call never ended") from None
    assert time.monotonic() - begun < BOUND_S, mode
    assert not isinstance(told, AuthenticationError), f"{mode}: the caller is sent off to look for keys"
    assert told is None or str(told), mode


async def ended(sandbox: AsyncSandbox) -> str:
    """Why it failed."""
    while (info := await sandbox.info()).state == "running":
        await asyncio.sleep(0.1)
    assert info.state == "failed"
    return str(info.reason)


async def suffer(mode: str, program: bytes, turns: asyncio.Semaphore) -> None:
    async with turns, asyncio.timeout(4 * BOUND_S):
        sandbox = await AsyncSandbox.create("base", isolation="gvisor", timeout=TIMEOUT_S)
        async with sandbox:
            assert await take_over(sandbox, program, mode) == 0, mode
            await replaced(sandbox)
            await asyncio.gather(*(outcome(call, mode) for call in asked(sandbox)))
            if mode in ENDING:
                reason = await ended(sandbox)
                assert "agent" in reason, f"{mode}: {reason}"
            else:
                await sandbox.kill()
                assert (await sandbox.info()).state in ("killed", "failed"), mode


async def test_no_replaced_agent_hurts_anybody_else(
    server: LocalServer, hostile: bytes, quiet: AsyncSandbox
) -> None:
    before = resident_bytes(server)
    turns = asyncio.Semaphore(AT_ONCE)
    guests = [asyncio.create_task(suffer(mode, hostile, turns)) for mode in (*LINGERING, *ENDING)]
    answers = 0
    try:
        while not all(guest.done() for guest in guests):
            async with asyncio.timeout(BOUND_S / 2):
                result = await quiet.commands.run(["echo", "here"])
            assert result.stdout == "here\n"
            answers += 1
            grown = resident_bytes(server) - before
            assert grown < GROWTH, f"the server grew by {grown // MIB} MiB"
            await asyncio.wait(guests, timeout=0.2)
        await asyncio.gather(*guests)
    finally:
        for guest in guests:
            guest.cancel()
        await asyncio.wait(guests)
    assert answers


async def test_where_ptrace_is_closed_pid_1_stays_ours(server: LocalServer, hostile: bytes) -> None:
    async with await AsyncSandbox.create("base", isolation="container") as sandbox:
        assert await take_over(sandbox, hostile, "garbage") != 0
        await sandbox.commands.run("kill -9 1; kill -STOP 1; kill -SEGV 1; kill -TERM 1", user="root")
        result = await sandbox.commands.run(["echo", "here"])
    assert result.stdout == "here\n"
