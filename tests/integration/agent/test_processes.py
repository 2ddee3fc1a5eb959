"""Programs: output, input, ends, limits, and readers that come, go and dawdle."""

from __future__ import annotations

import asyncio
import signal

import pytest

from sandlot.errors import Conflict, InvalidArgument, LimitExceeded, NotFound, PermissionDenied
from sandlot.node.agent import Exit, GuestAgent, Output, Process, PtySize, SpawnSpec

from .conftest import Guest, run, second_connection

MIB = 1024 * 1024


async def gather(process: Process) -> tuple[bytes, Exit]:
    data = bytearray()
    async with asyncio.timeout(120):
        async for event in process:
            if isinstance(event, Exit):
                return bytes(data), event
            data += event.data
    raise AssertionError("no exit")


async def wait_for_output(process: Process, wanted: bytes) -> bytes:
    """Reads until ``wanted`` was seen, and stays attached."""
    data = bytearray()
    iterator = aiter(process)
    async with asyncio.timeout(20):
        while wanted not in data:
            event = await anext(iterator)
            assert isinstance(event, Output), event
            data += event.data
    return bytes(data)


async def until_nothing_runs(agent: GuestAgent) -> None:
    async with asyncio.timeout(10):
        while (await agent.stats()).processes:
            await asyncio.sleep(0.01)


async def test_output_is_binary_and_the_streams_are_apart(agent: GuestAgent) -> None:
    result = await run(agent, r"printf 'a\000\377b'; printf err >&2; exit 3")
    assert result.stdout == b"a\0\xffb"
    assert result.stderr == b"err"
    assert result.exit == Exit(3, stdout_end=4, stderr_end=3)


async def test_a_signal_that_ends_it_is_told(agent: GuestAgent) -> None:
    result = await run(agent, "kill -SEGV $$")
    assert (result.exit.code, result.exit.signal) == (128 + signal.SIGSEGV, signal.SIGSEGV)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (SpawnSpec(["no-such-program"]), NotFound, "command not found: no-such-program"),
        (SpawnSpec(["/no/such"]), NotFound, "command not found: /no/such"),
        (SpawnSpec(["true"], cwd="/no/such"), NotFound, "no such directory: /no/such"),
        (SpawnSpec(["true"], user="nobody-here"), InvalidArgument, "no such user: nobody-here"),
        (SpawnSpec(["/etc/passwd"]), PermissionDenied, "cannot run /etc/passwd"),
        (SpawnSpec(["true"], cwd="/root", user="bob"), PermissionDenied, "/root"),
        (SpawnSpec([]), InvalidArgument, "1 to"),
        (SpawnSpec(["true"], tag="x" * 257), InvalidArgument, "1 to"),
        (SpawnSpec(["echo", "a\0b"]), InvalidArgument, "NUL"),
        (SpawnSpec(["echo", "x" * 300_000]), InvalidArgument, "limit"),
    ],
)
async def test_what_cannot_start_says_why(
    agent: GuestAgent, spec: SpawnSpec, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await agent.spawn(spec)
    await agent.ping()


async def test_a_script_without_its_interpreter_is_not_a_missing_command(
    agent: GuestAgent, guest: Guest
) -> None:
    script = guest.folder / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    with pytest.raises(NotFound, match="interpreter"):
        await agent.spawn(SpawnSpec([str(script)]))


async def test_a_user_is_a_whole_user(agent: GuestAgent, guest: Guest) -> None:
    script = "id -u; id -g; id -G; pwd; echo $HOME $USER $LOGNAME $SHELL; umask"
    result = await run(agent, script, user="alice")
    home = f"{guest.folder}/alice"
    assert result.stdout.decode().split("\n")[:6] == [
        "1500", "1500", "1500 27 1600", home, f"{home} alice alice /bin/bash", "0022",
    ]  # fmt: skip
    assert (await run(agent, "id -u; id -g", user="4242:1600")).stdout == b"4242\n1600\n"
    assert (await run(agent, "echo $HOME", user="alice", env={"HOME": "/else"})).stdout == b"/else\n"


async def test_nothing_of_the_agent_leaks_into_a_process(agent: GuestAgent, guest: Guest) -> None:
    result = await run(agent, "env; cat /proc/1/environ; echo; ls /proc/self/fd")
    assert guest.secret.encode() not in result.stdout
    assert result.stdout.split()[-4:] == [b"0", b"1", b"2", b"3"]


async def test_input_goes_in_whole_and_ends(agent: GuestAgent) -> None:
    process = await agent.spawn(SpawnSpec(["cat"], stdin=True))
    data = bytes(range(256)) * 4096 * 3

    async def feed() -> None:
        await agent.write_stdin(process.id, data)
        await agent.close_stdin(process.id)

    feeding = asyncio.create_task(feed())
    output, end = await gather(process)
    await feeding
    assert output == data
    assert end.code == 0


async def test_without_input_it_reads_nothing(agent: GuestAgent) -> None:
    process = await agent.spawn(SpawnSpec(["cat"]))
    assert (await gather(process))[1].code == 0
    with pytest.raises(Conflict):
        await agent.write_stdin(process.id, b"x")


async def test_writing_to_what_closed_its_input_is_a_conflict(agent: GuestAgent) -> None:
    process = await agent.spawn(SpawnSpec(["sh", "-c", "exec <&-; echo closed; sleep 60"], stdin=True))
    await wait_for_output(process, b"closed")
    with pytest.raises(Conflict):
        await agent.write_stdin(process.id, b"x" * MIB)
    await agent.signal(process.id, signal.SIGKILL)


async def test_a_write_that_waits_can_be_cancelled(agent: GuestAgent) -> None:
    process = await agent.spawn(SpawnSpec(["sleep", "60"], stdin=True))
    writing = asyncio.create_task(agent.write_stdin(process.id, b"x" * MIB))
    await agent.ping()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert agent._stdin_locks == {}
    await agent.signal(process.id, signal.SIGKILL)
    assert (await gather(process))[1].signal == signal.SIGKILL


async def test_a_timeout_ends_grandchildren_that_will_not_listen(agent: GuestAgent) -> None:
    script = "trap '' TERM; (trap '' TERM; setsid sleep 321) & sleep 321; sleep 321"
    result = await run(agent, script, timeout=0.2)
    assert result.exit.timed_out
    assert result.exit.signal == signal.SIGKILL
    await until_nothing_runs(agent)
    gone = await run(agent, "setsid sleep 321 & exec sleep 321", timeout=0.2)
    assert gone.exit.signal == signal.SIGTERM
    await until_nothing_runs(agent)


async def test_kill_reaches_the_session_and_its_offspring(agent: GuestAgent) -> None:
    process = await agent.spawn(
        SpawnSpec(["sh", "-c", "set -m; sleep 322 & setsid sleep 322 & echo up; wait"])
    )
    await wait_for_output(process, b"up")  # at its exec a process holds no page yet
    await agent.signal(process.id, signal.SIGKILL)
    await gather(process)
    await until_nothing_runs(agent)
    with pytest.raises(Conflict):
        await agent.signal(process.id, signal.SIGTERM)
    with pytest.raises(NotFound):
        await agent.signal(99_999, signal.SIGTERM)
    with pytest.raises(InvalidArgument):
        await agent.signal(process.id, 4000)


async def test_a_background_child_outlives_its_parent_and_may_still_write(agent: GuestAgent) -> None:
    script = "(while [ ! -e go ]; do sleep 0.05; done; echo late; touch done) & echo early"
    result = await run(agent, script, cwd="/tmp", user="root", env={})
    assert result.stdout == b"early\n"
    await run(agent, "touch go; until [ -e done ]; do sleep 0.05; done; rm go done", cwd="/tmp")
    info = (await agent.processes())[0]
    assert info.exit is not None
    assert info.exit.code == 0
    again = await agent.attach(info.id, stdout_from=0)
    output, _ = await gather(again)
    assert output == b"early\nlate\n"


async def test_orphans_are_reaped(agent: GuestAgent) -> None:
    await run(agent, "for i in 1 2 3 4 5; do (sleep 0.1 &) ; done; sleep 0.5")
    result = await run(agent, "cat /proc/[0-9]*/stat | grep -c ' Z ' || true")
    assert result.stdout == b"0\n"


async def test_another_connection_reads_on_where_the_first_broke(guest: Guest) -> None:
    async with second_connection(guest) as first:
        script = "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done; read x; echo $x"
        process = await first.spawn(SpawnSpec(["sh", "-c", script], stdin=True, tag="it"))
        seen = await wait_for_output(process, b"line 10\n")
    async with second_connection(guest) as again:
        assert again.nonce == first.nonce
        info = (await again.processes())[0]
        assert (info.id, info.tag, info.running, info.exit) == (process.id, "it", True, None)
        assert info.args == ["sh", "-c", script]
        reader = await again.attach(process.id, stdout_from=len(seen))
        await again.write_stdin(process.id, b"bye\n")
        output, end = await gather(reader)
        assert (seen + output).endswith(b"line 199\nbye\n")
        assert len(seen + output) == end.stdout_end
        from_now = await again.attach(process.id)
        assert await gather(from_now) == (b"", end)
        with pytest.raises(NotFound):
            await again.attach(4711)


async def test_with_nobody_reading_the_newest_is_kept(agent: GuestAgent) -> None:
    process = await agent.spawn(
        SpawnSpec(["sh", "-c", "sleep 0.2; seq 1 100000; echo end"], keep_output=4096)
    )
    await process.close()
    async with asyncio.timeout(20):
        while (await agent.processes())[0].running:
            await asyncio.sleep(0.02)
    first: int | None = None
    data = bytearray()
    async for event in await agent.attach(process.id, stdout_from=0):
        if isinstance(event, Output):
            first = event.offset if first is None else first
            data += event.data
        else:
            assert first is not None
            assert first > 0
            assert first + len(data) == event.stdout_end
    assert len(data) == 4096
    assert data.endswith(b"99999\n100000\nend\n")


async def test_a_slow_reader_holds_its_process_back_and_nobody_else(agent: GuestAgent, guest: Guest) -> None:
    before = guest.resident()
    process = await agent.spawn(SpawnSpec(["head", "-c", str(100 * MIB), "/dev/zero"]))
    await wait_for_output(process, b"\0")
    for _ in range(20):
        assert (await run(agent, "echo quick")).stdout == b"quick\n"
    assert (await agent.processes())[0].running
    assert guest.resident() - before < 8 * MIB
    total = 0
    async for event in process:
        total += len(event.data) if isinstance(event, Output) else 0
    assert total > 90 * MIB


async def test_a_slow_reader_that_leaves_lets_the_process_go_on(agent: GuestAgent) -> None:
    process = await agent.spawn(SpawnSpec(["head", "-c", str(20 * MIB), "/dev/zero"]))
    await agent.ping()
    await process.close()
    async with asyncio.timeout(20):
        while (info := (await agent.processes())[0]).running:
            await asyncio.sleep(0.02)
    assert info.stdout_end == 20 * MIB


async def test_a_hundred_mebibytes_flow_and_neither_side_grows(agent: GuestAgent, guest: Guest) -> None:
    process = await agent.spawn(SpawnSpec(["head", "-c", str(100 * MIB), "/dev/zero"]))
    total, most = 0, 0
    async for event in process:
        if isinstance(event, Output):
            total += len(event.data)
            most = max(most, len(event.data))
    assert total == 100 * MIB
    assert most <= 256 * 1024
    assert guest.resident() < 16 * MIB


async def test_ended_processes_are_kept_up_to_a_bound(agent: GuestAgent) -> None:
    for _ in range(70):
        await run(agent, SpawnSpec(["true"]))
    listed = await agent.processes()
    assert [info.id for info in listed] == list(range(7, 71))


async def test_a_terminal_is_one(agent: GuestAgent) -> None:
    process = await agent.spawn(SpawnSpec(["bash", "--norc"], pty=PtySize(33, 99), env={"PS1": "$ "}))
    await agent.write_stdin(process.id, b"tty; stty size; echo $TERM; echo don''e\n")
    output = await wait_for_output(process, b"\ndone")
    assert b"/dev/pts/" in output
    assert b"33 99" in output
    assert b"xterm-256color" in output
    await agent.resize(process.id, 40, 120)
    script = b"""sh -c 'trap "echo cau""ght; exit" INT; stty size; while :; do sleep 0.1; done'\n"""
    await agent.write_stdin(process.id, script)
    await wait_for_output(process, b"40 120")
    await agent.write_stdin(process.id, b"\x03")
    await wait_for_output(process, b"caught")
    await agent.write_stdin(process.id, b"sh -c 'echo rea\"\"dy; exec cat'; echo ca''t ended\n")
    await wait_for_output(process, b"ready")
    await agent.close_stdin(process.id)
    await wait_for_output(process, b"cat ended")
    await agent.write_stdin(process.id, b"exit 5\n")
    assert (await gather(process))[1].code == 5


async def test_resizing_what_has_no_terminal_is_refused(agent: GuestAgent) -> None:
    process = await agent.spawn(SpawnSpec(["sleep", "30"]))
    with pytest.raises(InvalidArgument, match="no terminal"):
        await agent.resize(process.id, 1, 1)
    await agent.signal(process.id, signal.SIGKILL)


async def test_stats_count_what_runs(agent: GuestAgent) -> None:
    assert (await agent.stats()).processes == 0
    process = await agent.spawn(SpawnSpec(["sh", "-c", "echo up; read line"], stdin=True))
    await wait_for_output(process, b"up")  # at its exec a process holds no page yet
    stats = await agent.stats()
    assert stats.processes == 1
    assert stats.rss_bytes > 0
    assert await agent.oom_kill() == process.pid
    assert (await gather(process))[1].oom
    assert await agent.oom_kill() is None


async def test_too_many_calls_at_once_are_refused_and_the_rest_goes_on(agent: GuestAgent) -> None:
    process = await agent.spawn(SpawnSpec(["sleep", "60"]))
    readers = [await agent.attach(process.id) for _ in range(1023)]
    with pytest.raises(LimitExceeded):
        await agent.attach(process.id)
    for reader in readers:
        await reader.close()
    await agent.signal(process.id, signal.SIGKILL)
    assert (await gather(process))[1].signal == signal.SIGKILL
