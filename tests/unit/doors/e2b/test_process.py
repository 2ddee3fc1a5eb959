"""process.Process, with the engine's half in memory."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from sandlot.core.known import KnownCommand
from sandlot.core.model import StartCommand
from sandlot.doors.e2b.envd import connect
from sandlot.errors import Conflict, NotFound
from sandlot.node.agent import Exit, Output, ProcessInfo
from tests.unit.doors.e2b import rpc
from tests.unit.doors.e2b.rpc import STREAM, Frame, framed, frames, refusal
from tests.unit.doors.fake_engine import FakeEngine, FakeLive, FakeProcess
from tests.unit.doors.wire import exchange


@pytest.fixture
def app(engine: FakeEngine) -> ASGIApp:
    return rpc.application(engine)


@pytest.fixture
def live(engine: FakeEngine) -> FakeLive:
    return engine.only


async def start(app: ASGIApp, message: dict[str, Any], **headers: str) -> list[Frame]:
    message = {"process": {"cmd": "/bin/bash", "args": ["-l", "-c", "x"]}, **message}
    return await rpc.stream(app, "/process.Process/Start", message, **headers)


async def running(live: FakeLive, **request: Any) -> FakeProcess:
    live.prepared = []
    return await live.start_command(StartCommand(args=["cat"], **request))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def end(found: list[Frame]) -> dict[str, Any]:
    """What a stream says of how its command ended."""
    *_, (_, happened), last = found
    assert last == (2, {})
    return dict(happened["event"]["end"])


async def test_a_commands_events(app: ASGIApp, live: FakeLive) -> None:
    live.prepared = [Output("stdout", 0, b"hi\n"), Output("stderr", 0, b"\xff"), Exit(0)]
    assert await start(app, {}) == [
        (0, {"event": {"start": {"pid": 101}}}),
        (0, {"event": {"data": {"stdout": "aGkK"}}}),
        (0, {"event": {"data": {"stderr": "/w=="}}}),
        (0, {"event": {"end": {"exitCode": 0, "exited": True, "status": "exit status 0"}}}),
        (2, {}),
    ]
    assert live.processes[1].closed.is_set()


async def test_a_command_is_started_as_it_is_sent(app: ASGIApp, live: FakeLive) -> None:
    live.prepared = [Exit(0)]
    message = {
        "process": {"cmd": "a", "args": ["b"], "envs": {"A": "1"}, "cwd": "~/x"},
        "tag": "t",
        "stdin": False,
    }
    await start(app, message, authorization="Basic cm9vdDo=", connect_timeout_ms="2500")
    assert live.processes[1].request == StartCommand(
        args=["a", "b"], env={"A": "1"}, cwd="x", user="root", stdin=False, timeout_s=2.5, tag="t"
    )


async def test_what_is_not_said(app: ASGIApp, live: FakeLive) -> None:
    live.prepared = [Exit(0)]
    await start(app, {"process": {"cmd": "a"}})
    assert live.processes[1].request == StartCommand(args=["a"], stdin=True, timeout_s=None)


@pytest.mark.parametrize(("cwd", "given"), [("~", "."), ("~/", "."), ("~//a", "a"), ("/a", "/a"), ("a", "a")])
async def test_a_folder_may_begin_at_home(app: ASGIApp, live: FakeLive, cwd: str, given: str) -> None:
    live.prepared = [Exit(0)]
    await start(app, {"process": {"cmd": "a", "cwd": cwd}})
    assert live.processes[1].request.cwd == given


async def test_the_home_of_another_user_is_not_guessed(app: ASGIApp) -> None:
    assert refusal(await start(app, {"process": {"cmd": "a", "cwd": "~root/x"}}))[0] == "invalid_argument"


async def test_more_time_than_a_command_may_have_is_the_most(app: ASGIApp, live: FakeLive) -> None:
    live.prepared = [Exit(0)]
    await start(app, {}, connect_timeout_ms="9999999999")
    assert live.processes[1].request.timeout_s == 30 * 24 * 3600


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (Exit(3), {"exitCode": 3, "exited": True, "status": "exit status 3", "error": "exit status 3"}),
        (
            Exit(137, 9),
            {"exitCode": -1, "exited": False, "status": "signal: killed", "error": "signal: killed"},
        ),
        (
            Exit(139, 11),
            {
                "exitCode": -1,
                "exited": False,
                "status": "signal: segmentation fault",
                "error": "signal: segmentation fault",
            },
        ),
        (
            Exit(137, 9, oom=True),
            {
                "exitCode": -1,
                "exited": False,
                "status": "signal: killed",
                "error": "signal: killed (the sandbox was out of memory)",
            },
        ),
    ],
)
async def test_how_a_command_ended(app: ASGIApp, live: FakeLive, ended: Exit, told: dict[str, Any]) -> None:
    live.prepared = [ended]
    assert end(await start(app, {})) == told


async def test_what_does_not_exist_was_an_argument(
    app: ASGIApp, live: FakeLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start_command(request: StartCommand) -> FakeProcess:
        raise NotFound("no such directory: /nope")

    monkeypatch.setattr(live, "start_command", start_command)
    assert refusal(await start(app, {})) == ("invalid_argument", "no such directory: /nope")


async def test_a_command_that_its_timeout_ended(app: ASGIApp, live: FakeLive) -> None:
    live.prepared = [Output("stdout", 0, b"x"), Exit(143, 15, timed_out=True)]
    *_, (_, last) = await start(app, {}, connect_timeout_ms="60000")
    assert last["error"]["code"] == "deadline_exceeded"


async def test_who_only_looked_on_hears_how_it_ended(app: ASGIApp, live: FakeLive) -> None:
    process = await running(live)
    process.put(Exit(143, 15, timed_out=True))
    found = await rpc.stream(app, "/process.Process/Connect", {"process": {"pid": process.pid}})
    assert end(found)["error"] == "signal: terminated (its timeout was over)"


async def test_a_stream_ends_at_the_calls_timeout(app: ASGIApp, live: FakeLive) -> None:
    process = await running(live)
    for found in (
        await start(app, {}, connect_timeout_ms="1"),
        await rpc.stream(
            app, "/process.Process/Connect", {"process": {"pid": process.pid}}, connect_timeout_ms="1"
        ),
    ):
        (_, first), (flags, last) = found
        assert first["event"]["start"]["pid"] in (101, 102)
        assert (flags, last["error"]["code"]) == (2, "deadline_exceeded")
    assert process.closed.is_set()
    assert live.agent.calls == [("attach", 1, None, None)]


async def test_a_client_that_leaves_does_not_end_the_command(engine: FakeEngine, live: FakeLive) -> None:
    app = rpc.application(engine, headers={"content-type": STREAM})
    async with exchange(app, "POST", "/process.Process/Start") as call:
        call.send(framed({"process": {"cmd": "sleep"}}))
        assert await call.status() == 200
        assert frames((await call.receive())["body"]) == [(0, {"event": {"start": {"pid": 101}}})]
        call.leave()
        await call.end()
    assert live.processes[1].closed.is_set()
    assert not live.processes[1].ended
    assert live.agent.calls == []


async def test_a_client_that_does_not_read_holds_the_command_back(engine: FakeEngine, live: FakeLive) -> None:
    app = rpc.application(engine, headers={"content-type": STREAM})
    live.prepared = [Output("stdout", at, b"x") for at in range(100)]
    async with exchange(app, "POST", "/process.Process/Start", window=2) as call:
        call.send(framed({"process": {"cmd": "yes"}}))
        await call.status()
        await call.receive()
        await call.receive()
        assert live.processes[1].taken < 10
        call.leave()
        await call.end()


async def test_a_silent_command_is_kept_alive(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "PROMISED_S", 0.01)
    app = rpc.application(engine, headers={"content-type": STREAM})
    async with exchange(app, "POST", "/process.Process/Start") as call:
        call.send(framed({"process": {"cmd": "sleep"}}))
        await call.status()
        await call.receive()
        assert frames((await call.receive())["body"]) == [(0, {"event": {"keepalive": {}}})]
        call.leave()
        await call.end()


async def test_a_terminal(app: ASGIApp, live: FakeLive) -> None:
    live.prepared = [Output("stdout", 0, b"$ "), Exit(0)]
    found = await start(app, {"pty": {"size": {"rows": 30, "cols": 100}}})
    assert found[1] == (0, {"event": {"data": {"pty": "JCA="}}})
    assert live.processes[1].request.terminal == (30, 100)


@pytest.mark.parametrize("pty", [{}, {"size": {}}, {"size": {"rows": 0, "cols": 0}}])
async def test_a_terminal_of_no_size_gets_the_usual_one(
    app: ASGIApp, live: FakeLive, pty: dict[str, Any]
) -> None:
    live.prepared = [Exit(0)]
    await start(app, {"pty": pty})
    assert live.processes[1].request.terminal == (24, 80)


@pytest.mark.parametrize("size", [{"rows": 24}, {"rows": -1, "cols": 80}, {"rows": 24, "cols": 65536}])
async def test_sizes_that_no_terminal_has(app: ASGIApp, live: FakeLive, size: dict[str, int]) -> None:
    assert refusal(await start(app, {"pty": {"size": size}}))[0] == "invalid_argument"
    process = await running(live, terminal=(24, 80))
    message = {"process": {"pid": process.pid}, "pty": {"size": size}}
    assert (await rpc.unary(app, "/process.Process/Update", message)).status_code == 400


async def test_a_terminals_new_size(app: ASGIApp, live: FakeLive) -> None:
    process = await running(live, terminal=(24, 80))
    message = {"process": {"pid": process.pid}, "pty": {"size": {"rows": 50, "cols": 132}}}
    answer = await rpc.unary(app, "/process.Process/Update", message)
    assert (answer.status_code, answer.json()) == (200, {})
    assert live.agent.calls == [("resize", 1, 50, 132)]
    answer = await rpc.unary(app, "/process.Process/Update", {"process": {"pid": process.pid}})
    assert (answer.status_code, len(live.agent.calls)) == (200, 1)


async def test_the_list_is_of_what_runs(app: ASGIApp, live: FakeLive) -> None:
    (await running(live)).ended = True
    await running(live, tag="server", cwd="/srv")
    answer = await rpc.unary(app, "/process.Process/List", {})
    assert answer.json() == {
        "processes": [{"config": {"cmd": "cat", "args": [], "cwd": "/srv"}, "pid": 102, "tag": "server"}]
    }


async def test_a_process_is_found_by_its_tag_and_the_newest_of_several(app: ASGIApp, live: FakeLive) -> None:
    await running(live, tag="t")
    await running(live, tag="t")
    (await running(live, tag="t")).ended = True
    message = {"process": {"tag": "t"}, "signal": "SIGNAL_SIGTERM"}
    assert (await rpc.unary(app, "/process.Process/SendSignal", message)).status_code == 200
    assert live.agent.calls == [("signal", 2, 15, True)]


async def test_a_number_that_is_used_again_is_the_one_that_runs(app: ASGIApp, live: FakeLive) -> None:
    old, new = await running(live), await running(live)
    old.ended = True
    new.pid = old.pid
    new.put(Exit(7))
    found = await rpc.stream(app, "/process.Process/Connect", {"process": {"pid": new.pid}})
    assert end(found)["exitCode"] == 7


async def test_how_a_command_ended_can_still_be_heard(
    app: ASGIApp, live: FakeLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await running(live)
    process.ended = True
    again = FakeProcess(1, process.request)
    again.put(Exit(4))

    async def attach(id: int) -> FakeProcess:
        return again

    monkeypatch.setattr(live.agent, "attach", attach)
    found = await rpc.stream(app, "/process.Process/Connect", {"process": {"pid": process.pid}})
    assert end(found)["exitCode"] == 4


async def test_a_command_that_is_known_is_not_looked_for(
    app: ASGIApp, live: FakeLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await running(live, stdin=True)
    live.memory.add(KnownCommand(process.id, process.pid, terminal=False))
    asked = 0
    commands = live.commands

    async def counted() -> list[ProcessInfo]:
        nonlocal asked
        asked += 1
        return await commands()

    monkeypatch.setattr(live, "commands", counted)
    chosen = {"process": {"pid": process.pid}}
    given = {**chosen, "input": {"stdin": "YQ=="}}
    for method, message in (
        ("SendInput", given),
        ("SendSignal", {**chosen, "signal": 9}),
        ("CloseStdin", chosen),
    ):
        assert (await rpc.unary(app, f"/process.Process/{method}", message)).status_code == 200
    assert asked == 0
    # Where the guest refuses, the list says whether it is for its end; what was sent is not sent again.
    written: list[bytes] = []

    async def write_stdin(id: int, data: bytes) -> None:
        written.append(data)
        raise Conflict("it has no open input")

    monkeypatch.setattr(live.agent, "write_stdin", write_stdin)
    answer = await rpc.unary(app, "/process.Process/SendInput", given)
    assert (answer.status_code, answer.json()["code"], asked) == (400, "failed_precondition", 1)
    assert written == [b"a"]
    process.ended = True
    answer = await rpc.unary(app, "/process.Process/SendInput", given)
    assert (answer.status_code, answer.json()["code"], asked) == (404, "not_found", 2)


async def test_what_was_known_may_be_another_by_now(app: ASGIApp, live: FakeLive) -> None:
    old, new = await running(live, stdin=True), await running(live, stdin=True)
    live.memory.add(KnownCommand(old.id, old.pid, terminal=False))
    live.agent.stdin_closed.add(old.id)
    old.ended = True
    new.pid = old.pid
    message = {"process": {"pid": new.pid}, "input": {"stdin": "YQ=="}}
    assert (await rpc.unary(app, "/process.Process/SendInput", message)).status_code == 200
    assert live.agent.stdin == {new.id: b"a"}


async def test_what_does_not_run_is_not_found(app: ASGIApp, live: FakeLive) -> None:
    (await running(live)).ended = True
    for selector in ({"pid": 101}, {"pid": 999}, {"tag": "t"}):
        chosen = {"process": selector}
        for method, message in (
            ("SendSignal", {**chosen, "signal": "SIGNAL_SIGKILL"}),
            ("SendInput", {**chosen, "input": {"stdin": ""}}),
            ("CloseStdin", chosen),
            ("Update", chosen),
        ):
            answer = await rpc.unary(app, f"/process.Process/{method}", message)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    for path, first in (
        ("Connect", {"process": {"pid": 999}}),
        ("StreamInput", {"start": {"process": {"pid": 999}}}),
    ):
        assert refusal(await rpc.stream(app, f"/process.Process/{path}", first))[0] == "not_found"


@pytest.mark.parametrize("selector", [{}, {"pid": 1, "tag": "t"}])
async def test_one_process_has_to_be_selected(app: ASGIApp, selector: dict[str, Any]) -> None:
    answer = await rpc.unary(app, "/process.Process/CloseStdin", {"process": selector})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")


@pytest.mark.parametrize(("name", "number"), [("SIGNAL_SIGTERM", 15), ("SIGNAL_SIGKILL", 9), (9, 9)])
async def test_signals(app: ASGIApp, live: FakeLive, name: str | int, number: int) -> None:
    process = await running(live)
    message = {"process": {"pid": process.pid}, "signal": name}
    assert (await rpc.unary(app, "/process.Process/SendSignal", message)).json() == {}
    assert live.agent.calls == [("signal", 1, number, True)]


@pytest.mark.parametrize("signal", ["SIGNAL_UNSPECIFIED", "SIGKILL", 1, 0])
async def test_other_signals_are_none(app: ASGIApp, live: FakeLive, signal: str | int) -> None:
    process = await running(live)
    message = {"process": {"pid": process.pid}, "signal": signal}
    answer = await rpc.unary(app, "/process.Process/SendSignal", message)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")


async def test_a_signal_to_what_has_just_ended(
    app: ASGIApp, live: FakeLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def signal(id: int, number: int) -> None:
        raise Conflict("it has already ended")

    monkeypatch.setattr(live.agent, "signal", signal)
    process = await running(live)
    message = {"process": {"pid": process.pid}, "signal": "SIGNAL_SIGKILL"}
    assert (await rpc.unary(app, "/process.Process/SendSignal", message)).status_code == 404


async def test_input_and_its_end(app: ASGIApp, live: FakeLive) -> None:
    process = await running(live, stdin=True)
    chosen = {"process": {"pid": process.pid}}
    for text in (b"ab", b"", b"\xffc"):
        answer = await rpc.unary(app, "/process.Process/SendInput", {**chosen, "input": {"stdin": b64(text)}})
        assert (answer.status_code, answer.json()) == (200, {})
    assert bytes(live.agent.stdin[1]) == b"ab\xffc"
    assert (await rpc.unary(app, "/process.Process/CloseStdin", chosen)).json() == {}
    assert live.agent.stdin_closed == {1}
    answer = await rpc.unary(app, "/process.Process/SendInput", {**chosen, "input": {"stdin": "YQ=="}})
    assert (answer.status_code, answer.json()["code"]) == (400, "failed_precondition")


async def test_input_may_be_larger_than_other_messages(app: ASGIApp, live: FakeLive) -> None:
    process = await running(live, stdin=True)
    message = {"process": {"pid": process.pid}, "input": {"stdin": b64(b"x" * 100_000)}}
    assert (await rpc.unary(app, "/process.Process/SendInput", message)).status_code == 200
    streamed = [{"start": {"process": {"pid": process.pid}}}, {"data": {"input": message["input"]}}]
    assert (await rpc.stream(app, "/process.Process/StreamInput", *streamed))[-1] == (2, {})
    assert len(live.agent.stdin[1]) == 200_000


async def test_input_that_nobody_reads_ends_with_the_call(engine: FakeEngine, live: FakeLive) -> None:
    live.agent.stdin_gate.clear()
    process = await running(live, stdin=True)
    message = {"process": {"pid": process.pid}, "input": {"stdin": "YQ=="}}
    app = rpc.application(engine)
    answer = await rpc.unary(app, "/process.Process/SendInput", message, connect_timeout_ms="1")
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
    app = rpc.application(engine, headers={"content-type": rpc.UNARY})
    async with exchange(app, "POST", "/process.Process/SendInput") as call:
        call.send(rpc.framed(message)[5:])
        call.leave()
        with pytest.raises(ClientDisconnect):
            await call.end()


@pytest.mark.parametrize("terminal", [None, (24, 80)])
async def test_what_input_is_for(app: ASGIApp, live: FakeLive, terminal: tuple[int, int] | None) -> None:
    process = await running(live, stdin=True, terminal=terminal)
    right, wrong = ("stdin", "pty") if terminal is None else ("pty", "stdin")
    for given, status in (({right: "YQ=="}, 200), ({wrong: "YQ=="}, 400), ({}, 400)):
        message = {"process": {"pid": process.pid}, "input": given}
        assert (await rpc.unary(app, "/process.Process/SendInput", message)).status_code == status
    assert bytes(live.agent.stdin[1]) == b"a"


async def test_a_terminals_input_has_no_end(app: ASGIApp, live: FakeLive) -> None:
    process = await running(live, terminal=(24, 80))
    answer = await rpc.unary(app, "/process.Process/CloseStdin", {"process": {"pid": process.pid}})
    assert (answer.status_code, answer.json()["code"]) == (400, "failed_precondition")
    assert "Ctrl-D" in answer.json()["message"]


async def test_input_in_order_over_one_stream(app: ASGIApp, live: FakeLive) -> None:
    process = await running(live, stdin=True)
    found = await rpc.stream(
        app,
        "/process.Process/StreamInput",
        {"start": {"process": {"pid": process.pid}}},
        *({"data": {"input": {"stdin": b64(bytes([byte]))}}} for byte in range(100)),
        {"keepalive": {}},
    )
    assert found == [(0, {}), (2, {})]
    assert bytes(live.agent.stdin[1]) == bytes(range(100))
    assert live.agent.stdin_closed == set()


async def test_a_stream_of_input_says_first_whom_it_is_for(app: ASGIApp) -> None:
    found = await rpc.stream(app, "/process.Process/StreamInput", {"data": {"input": {"stdin": "YQ=="}}})
    assert refusal(found)[0] == "invalid_argument"
