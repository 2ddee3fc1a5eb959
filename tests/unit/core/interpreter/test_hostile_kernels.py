"""Kernels that are not what they should be: an error, a kernel ended, never a hang and never growth."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from sandlot.core.interpreter import CodeEvent, ErrorEvent, Interpreter, Limits, Result, Stdout
from sandlot.core.interpreter import ending as ending_module
from sandlot.core.interpreter import kernel as kernel_module
from sandlot.errors import (
    DeadlineExceeded,
    GuestError,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    SandlotError,
    Unavailable,
)
from tests.unit.core.interpreter.local_guest import LocalGuest

# A kernel of a few lines: it greets like the real one, then does `on_run` with the run's id in `id`.
_KERNEL = """
import json, os, signal, sys, time
def say(**event): print(json.dumps(event), flush=True)
def done(id): say(type="done", id=id, execution_count=1)
def greet(request): say(type="ready", id=request["id"], protocol=1, python="3")
def main(on_run, greet=greet):
    for line in sys.stdin:
        request = json.loads(line.strip() or "{}")
        if not request: continue
        if request["op"] == "hello": greet(request)
        elif request["op"] == "ping": say(type="pong", id=request["id"], context=None)
        else: on_run(request["id"], request["code"])
"""

Make = Callable[..., Interpreter]


@pytest.fixture
async def make(guest: LocalGuest) -> AsyncIterator[Make]:
    made: list[Interpreter] = []

    def make(script: str, limits: Limits = Limits()) -> Interpreter:
        kernel = [sys.executable, "-c", _KERNEL + script]
        interpreter = Interpreter(
            guest.agent, {"python": kernel}, template="t", user="user", cwd="/", env={}, limits=limits
        )
        made.append(interpreter)
        return interpreter

    yield make
    for interpreter in made:
        await interpreter.close()


async def collect(interpreter: Interpreter, code: str = "", timeout: float | None = 60) -> list[CodeEvent]:
    return [event async for event in interpreter.run(code, timeout=timeout)]


@pytest.mark.parametrize(
    "on_run",
    [
        "print('garbage', flush=True)",
        "print('', flush=True)",
        "sys.stdout.buffer.write(b'\\xff\\n'); sys.stdout.flush()",
        "say(type='stdout', id='another', text='x')",
        "done('another')",
        "say(type='ready', id=id, protocol=1)",
        "say(type='invalid', message='x')",
        "say(type='stdout', id=id, text=1)",
        "[say(type='error', id=id, name='E', value='', traceback='') for _ in range(2)]",
        "say(type='result', id=id, is_main=True, data=[1])",
        "print('[' * 100000, flush=True)",
    ],
)
async def test_what_is_no_event_of_the_run_ends_the_kernel(
    guest: LocalGuest, make: Make, on_run: str
) -> None:
    interpreter = make(f"def on_run(id, code):\n  if code: done(id)\n  else: {on_run}\nmain(on_run)")
    with pytest.raises(GuestError, match="variables are lost"):
        await collect(interpreter)
    assert guest.running == []
    events = await collect(interpreter, "good")
    assert len(events) == 1
    assert len(guest.running) == 1


async def test_an_endless_line(guest: LocalGuest, make: Make) -> None:
    interpreter = make(
        "def on_run(id, code):\n  while True: sys.stdout.write('x' * 65536)\nmain(on_run)",
    )
    with pytest.raises(GuestError, match="a line of more than"):
        await collect(interpreter)
    assert guest.running == []


async def test_results_for_ever_are_too_much_output(guest: LocalGuest, make: Make) -> None:
    interpreter = make(
        "def on_run(id, code):\n  while True: say(type='result', id=id, is_main=False, text='x' * 1000)\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit())\n"
        "main(on_run)",
        Limits(output_bytes=100_000),
    )
    events = await collect(interpreter)
    assert sum(isinstance(event, Result) for event in events) < 100
    assert sum(isinstance(event, ErrorEvent) for event in events) == 1


async def test_a_kernel_that_does_not_greet(
    guest: LocalGuest, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_module, "START_S", 0.5)
    with pytest.raises(GuestError, match="did not start in"):
        await collect(make("time.sleep(1000)"))
    await _nothing_runs(guest)


async def test_a_kernel_that_ends_at_once_says_why(guest: LocalGuest, make: Make) -> None:
    with pytest.raises(GuestError, match="exit code 1: ModuleNotFoundError: No module named 'nowhere'"):
        await collect(make("import nowhere"))


async def test_a_kernel_of_another_version(guest: LocalGuest, make: Make) -> None:
    interpreter = make(
        "main(None, lambda request: say(type='ready', id=request['id'], protocol=99, python='3'))"
    )
    with pytest.raises(GuestError, match="build the template anew"):
        await collect(interpreter)
    await _nothing_runs(guest)


async def test_a_program_that_is_not_there(guest: LocalGuest) -> None:
    interpreter = Interpreter(
        guest.agent, {"python": ["/nowhere"]}, template="t", user="user", cwd="/", env={}
    )
    with pytest.raises(NotFound):
        await collect(interpreter)


async def test_a_kernel_that_reads_nothing(
    guest: LocalGuest, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_module, "SEND_S", 0.5)
    interpreter = make("greet(json.loads(sys.stdin.readline()))\ntime.sleep(1000)")
    with pytest.raises(GuestError, match="did not take a request"):
        await collect(interpreter, "x" * 4_000_000)
    assert guest.running == []


async def test_a_kernel_that_never_ends_its_run(
    guest: LocalGuest, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending_module, "STEP_S", 0.1)
    interpreter = make(
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\nmain(lambda id, code: time.sleep(1000))"
    )
    events = await collect(interpreter, timeout=0.2)
    assert [type(event).__name__ for event in events] == ["ErrorEvent", "Done"]
    assert "variables are lost" in repr(events[0])
    assert guest.running == []


async def test_a_kernel_that_ends_at_every_run(guest: LocalGuest, make: Make) -> None:
    interpreter = make("main(lambda id, code: os._exit(7))")
    for _ in range(2):
        events = await collect(interpreter)
        assert [type(event).__name__ for event in events] == ["ErrorEvent", "Done"]
        assert "exit code 7" in repr(events[0])


async def test_a_queue_that_is_full(make: Make) -> None:
    interpreter = make("main(lambda id, code: (time.sleep(0.2), done(id)))", Limits(waiting_runs=2))
    outcomes = await asyncio.gather(*(collect(interpreter) for _ in range(5)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, LimitExceeded)]
    # One runs, two wait; how many are refused depends on when the first begins.
    assert 1 <= len(refused) <= 3
    assert "which is its limit" in refused[0].message
    assert not [o for o in outcomes if isinstance(o, BaseException) and not isinstance(o, SandlotError)]


async def test_a_turn_that_does_not_come_in_time(make: Make) -> None:
    interpreter = make("main(lambda id, code: None)")
    first = asyncio.create_task(collect(interpreter, timeout=None))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded, match="still running something else"):
        await collect(interpreter, timeout=0.2)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_too_many_contexts(make: Make) -> None:
    interpreter = make("main(lambda id, code: done(id))", Limits(contexts=2))
    await interpreter.create_context()
    kept = await interpreter.create_context()
    with pytest.raises(LimitExceeded, match="2 contexts"):
        await interpreter.create_context()
    await interpreter.remove_context(kept.id)
    await interpreter.create_context()


async def test_an_agent_that_stays_away(
    guest: LocalGuest, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_module, "RECONNECT_S", 0.2)
    interpreter = make(
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "def on_run(id, code):\n"
        "  say(type='stdout', id=id, text='x')\n"
        "  if code == 'wait': time.sleep(0.8)\n"
        "  done(id)\n"
        "main(on_run)"
    )
    run = interpreter.run("wait")
    await anext(run)
    guest.disconnect()
    with pytest.raises(Unavailable):
        await anext(run)
    guest.reconnect()
    # The old run's rest is skipped, not taken for the new one's.
    assert [type(event).__name__ for event in await collect(interpreter)] == ["Stdout", "Done"]
    assert len(guest.spawned) == 1


@pytest.mark.parametrize(
    ("kernels", "language", "says"),
    [
        ({}, "python", "template 't' has no code interpreter; create the sandbox from 'code-interpreter'"),
        ({"python": ["x"]}, "r", "no interpreter for 'r'; it has: python"),
    ],
)
async def test_languages(guest: LocalGuest, kernels: dict[str, list[str]], language: str, says: str) -> None:
    interpreter = Interpreter(guest.agent, kernels, template="t", user="user", cwd="/", env={})
    with pytest.raises(InvalidArgument, match=says):
        await anext(interpreter.run("1", language=language))
    with pytest.raises(InvalidArgument, match=says):
        await interpreter.create_context(language=language)


async def test_bad_arguments(make: Make) -> None:
    interpreter = make("main(lambda id, code: done(id))", Limits(code_bytes=100))
    for arguments in (
        {"code": "x" * 101},
        {"code": "\ud800"},
        {"code": "1", "env": {"": "x"}},
        {"code": "1", "timeout": 0.0},
        {"code": "1", "timeout": -1.0},
    ):
        with pytest.raises(InvalidArgument):
            await anext(interpreter.run(**arguments))  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="no context 'nowhere'"):
        await anext(interpreter.run("1", context="nowhere"))
    for act in (interpreter.remove_context, interpreter.restart, interpreter.interrupt):
        with pytest.raises(NotFound):
            await act("nowhere")


async def test_recover_takes_only_kernels(guest: LocalGuest, make: Make) -> None:
    interpreter = make("main(lambda id, code: done(id))")
    await collect(interpreter)
    await interpreter.create_context()
    guest.spawned[0].tag = "something else"
    another = make("main(lambda id, code: done(id))")
    await another.recover()
    await another.recover()
    assert {context.id for context in await another.contexts()} == {guest.spawned[1].tag.split("/")[-1]}


async def test_a_kernel_of_an_older_template_has_later_variables_in_each_run(make: Make) -> None:
    told = "say(type='stdout', id=id, text=json.dumps(request['env'])), done(id)"
    interpreter = make(
        f"""
for line in sys.stdin:
    request = json.loads(line)
    id = request["id"]
    if request["op"] == "hello": greet(request)
    else: {told}
"""
    )
    await interpreter.warm()
    interpreter.adopt_env({"A": "1", "B": "2"})
    for _ in range(2):
        events = [event async for event in interpreter.run("", env={"B": "3"})]
        assert events[0] == Stdout('{"A": "1", "B": "3"}')


async def _nothing_runs(guest: LocalGuest) -> None:
    async with asyncio.timeout(10):
        while guest.running:
            await asyncio.sleep(0.01)
