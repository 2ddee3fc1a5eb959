"""What a sandbox is told after its memory came back: a new secret and name, and that programs can notice."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from sandlot.errors import InvalidArgument, Unauthenticated, Unavailable
from sandlot.node.agent import GuestAgent, Renewal, SpawnSpec
from sandlot.node.agent.frames import FrameType, encode
from sandlot.node.agent.wire import Writer

from .conftest import Guest, run, second_connection

GENERATION = "/run/sandlot/generation"


async def test_the_new_secret_is_the_only_one(agent: GuestAgent, guest: Guest) -> None:
    async with second_connection(guest) as other:
        await agent.renew(Renewal("another", 1, ""))
        async with asyncio.timeout(10):
            await other.wait_closed()
        with pytest.raises(Unavailable):
            await other.ping()
    with pytest.raises(Unauthenticated):
        await guest.connect()
    again = await GuestAgent.connect("127.0.0.1", guest.port, "another")
    await again.ping()
    await again.close()
    await agent.ping()


async def test_programs_go_on_and_see_the_name_and_the_generation(agent: GuestAgent) -> None:
    program = await agent.spawn(SpawnSpec(["cat"], stdin=True))
    assert (await run(agent, f"cat {GENERATION}; stat -c %a {GENERATION}")).stdout == b"0\n644\n"

    renewed = await agent.renew(Renewal("another", 9, "renamed"))
    assert (renewed.hostname, renewed.entropy, renewed.generation) == (True, True, True)
    assert (await run(agent, f"uname -n; cat {GENERATION}")).stdout == b"renamed\n9\n"
    await agent.renew(Renewal("a third", 10, ""))
    assert (await run(agent, f"uname -n; cat {GENERATION}")).stdout == b"renamed\n10\n"

    await agent.close_stdin(program.id)
    assert [event async for event in program][-1].code == 0  # type: ignore[union-attr]


async def test_the_file_itself_can_be_watched(agent: GuestAgent) -> None:
    async with await agent.watching(GENERATION) as events:
        await agent.renew(Renewal("another", 1, ""))
        async with asyncio.timeout(10):
            assert (await anext(events)).kind == "write"


async def test_a_folder_in_the_way_does_not_stop_it(agent: GuestAgent, guest: Guest) -> None:
    await run(agent, f"rm {GENERATION} && mkdir {GENERATION}")
    renewed = await agent.renew(Renewal("another", 1, "renamed"))
    assert (renewed.hostname, renewed.generation) == (True, False)


async def test_a_refused_one_changes_nothing(agent: GuestAgent, guest: Guest) -> None:
    for renewal in (Renewal("", 1, ""), Renewal("x" * 257, 1, ""), Renewal("x", 1, "n" * 65)):
        with pytest.raises(InvalidArgument):
            await agent.renew(renewal)
    assert (await run(agent, f"cat {GENERATION}")).stdout == b"0\n"
    async with second_connection(guest) as other:
        await other.ping()


async def test_the_secret_is_not_in_the_agents_memory(agent: GuestAgent, guest: Guest) -> None:
    """Root inside gVisor can read it, and what is found there must not open another connection."""
    assert not _memory_holds(guest.agent_pid, guest.secret)
    await agent.renew(Renewal("an-uncommon-secret", 1, ""))
    assert not _memory_holds(guest.agent_pid, "an-uncommon-secret")
    # The search itself finds what is there.
    _, writer = await asyncio.open_connection("127.0.0.1", guest.port)
    hello = Writer().u16(1).u16(1).text("a-wrong-secret-cut", "it").done()
    writer.write(encode(FrameType.HELLO, 0, hello)[:-4])
    async with asyncio.timeout(2):
        while not _memory_holds(guest.agent_pid, "a-wrong-secret"):
            await agent.ping()
    writer.close()


def _memory_holds(pid: int, secret: str) -> bool:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if found is None:
                continue
            start, end = (int(text, 16) for text in found.groups())
            memory.seek(start)
            if secret.encode() in memory.read(end - start):
                return True
    return False
