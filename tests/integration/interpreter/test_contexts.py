"""Several contexts, restarts, and a server that comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sandlot.core.interpreter import Context, default_context
from sandlot.errors import DeadlineExceeded, NotFound
from tests.integration.interpreter.conftest import Lab, interpreter_in
from tests.unit.core.interpreter.local_guest import LocalGuest


async def test_contexts_share_nothing(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    one = await lab.interpreter.create_context(cwd=str(tmp_path / "sub"), env={"WHO": "one"})
    two = await lab.interpreter.create_context()
    await lab.run("x = 1", context=one.id)
    await lab.run("x = 2", context=two.id)
    assert await lab.value("x", context=one.id) == "1"
    assert await lab.value("import os; os.environ['WHO'], os.getcwd()", context=one.id) == repr(
        ("one", str(tmp_path / "sub"))
    )
    assert await lab.value("import os; 'WHO' in os.environ", context=two.id) == "False"
    assert await lab.value("'x' in globals()") == "False"
    assert await lab.interpreter.contexts() == [
        one,
        two,
        Context("default-python", "python", str(tmp_path)),
    ]


async def test_contexts_run_side_by_side(lab: Lab, tmp_path: Path) -> None:
    """Each waits for the other's file, so neither ends if they take turns."""
    contexts = [await lab.interpreter.create_context() for _ in range(2)]
    code = (
        "import pathlib, time\npathlib.Path({mine!r}).touch()\n"
        "while not pathlib.Path({other!r}).exists(): time.sleep(0.01)\n'met'"
    )
    executions = await asyncio.gather(
        lab.run(code.format(mine="a", other="b"), context=contexts[0].id),
        lab.run(code.format(mine="b", other="a"), context=contexts[1].id),
    )
    assert [execution.text for execution in executions] == ["'met'", "'met'"]


async def test_runs_in_one_context_take_turns_in_order(lab: Lab) -> None:
    await lab.run("order = []")
    await asyncio.gather(*(lab.run(f"order.append({i})") for i in range(10)))
    assert await lab.value("order") == str(list(range(10)))


async def test_first_runs_at_the_same_time_make_one_default_context(lab: Lab) -> None:
    executions = await asyncio.gather(*(lab.run("import os; os.getpid()") for _ in range(5)))
    assert len({execution.text for execution in executions}) == 1
    assert len(lab.guest.spawned) == 1


async def test_a_warm_context_is_there_before_the_first_run(lab: Lab) -> None:
    await lab.interpreter.warm()
    assert len(lab.guest.running) == 1
    assert await lab.value("1 + 1") == "2"
    assert len(lab.guest.spawned) == 1


async def test_a_default_context_answers_to_its_id_before_anybody_used_it(lab: Lab) -> None:
    assert await lab.value("40 + 2", context=default_context("python")) == "42"
    with pytest.raises(NotFound):
        await lab.run("1", context=default_context("cobol"))


async def test_restart_forgets(lab: Lab) -> None:
    await lab.run("x = 1")
    await lab.interpreter.restart("default-python")
    execution = await lab.run("'x' in globals()")
    assert (execution.text, execution.stderr) == ("False", "")
    assert execution.done.execution_count == 1


async def test_restart_ends_what_runs(lab: Lab) -> None:
    started = asyncio.Event()
    running = asyncio.create_task(
        lab.run("print(1)\nwhile True: pass", timeout=None, seen=lambda event: started.set())
    )
    await started.wait()
    await lab.interpreter.restart("default-python")
    execution = await running
    assert execution.error is not None
    assert "restarted by request" in execution.error.value
    assert await lab.value("1 + 1") == "2"
    assert len(lab.guest.running) == 1


async def test_remove_ends_the_kernel_and_those_who_wait(lab: Lab) -> None:
    context = await lab.interpreter.create_context()
    started = asyncio.Event()
    running = asyncio.create_task(
        lab.run(
            "print(1)\nwhile True: pass", context=context.id, timeout=None, seen=lambda event: started.set()
        )
    )
    await started.wait()
    waiting = asyncio.create_task(lab.run("1", context=context.id))
    await asyncio.sleep(0)
    await lab.interpreter.remove_context(context.id)
    assert (await running).error is not None
    with pytest.raises(NotFound):
        await waiting
    with pytest.raises(NotFound):
        await lab.run("1", context=context.id)
    assert lab.guest.running == []
    assert await lab.interpreter.contexts() == []


async def test_a_directory_that_is_not_there(lab: Lab) -> None:
    with pytest.raises(NotFound):
        await lab.interpreter.create_context(cwd="/nowhere")
    assert await lab.interpreter.contexts() == []


async def test_a_lost_connection_in_the_middle_of_a_run_loses_nothing(lab: Lab, tmp_path: Path) -> None:
    started = asyncio.Event()
    running = asyncio.create_task(
        lab.run(
            "import pathlib, time\nprint('first')\n"
            "while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
            "for i in range(1000): print(i)",
            seen=lambda event: started.set(),
        )
    )
    await started.wait()
    lab.guest.disconnect()
    (tmp_path / "go").touch()
    await asyncio.sleep(0)
    lab.guest.reconnect()
    execution = await running
    assert execution.stdout == "first\n" + "".join(f"{i}\n" for i in range(1000))


async def test_a_lost_connection_between_runs(lab: Lab) -> None:
    await lab.run("x = 3")
    lab.guest.disconnect()
    lab.guest.reconnect()
    assert await lab.value("x") == "3"


async def test_recover_finds_contexts_with_their_state(guest: LocalGuest, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    before = interpreter_in(guest, tmp_path)
    context = await before.create_context(cwd=str(tmp_path / "sub"), env={"WHO": "me"})
    lab = Lab(guest, before)
    await lab.run("x = 4")
    await lab.run("x = 5", context=context.id)
    await before.close()
    guest.disconnect()
    guest.reconnect()

    after = interpreter_in(guest, tmp_path)
    await after.recover()
    lab = Lab(guest, after)
    assert {each.id for each in await after.contexts()} == {"default-python", context.id}
    assert await lab.value("x") == "4"
    assert await lab.value("x", context=context.id) == "5"
    assert context in await after.contexts()
    # What the kernel kept for us is what it is started anew with.
    await after.restart(context.id)
    assert await lab.value("import os; os.environ['WHO'], os.getcwd()", context=context.id) == repr(
        ("me", str(tmp_path / "sub"))
    )
    await after.close()


async def test_recover_interrupts_what_nobody_listens_to(guest: LocalGuest, tmp_path: Path) -> None:
    before = interpreter_in(guest, tmp_path)
    lab = Lab(guest, before)
    await lab.run("x = 6")
    started = asyncio.Event()
    running = asyncio.create_task(
        lab.run("while True: print('x' * 100)", timeout=None, seen=lambda event: started.set())
    )
    await started.wait()
    guest.disconnect()  # as when the server is killed
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await before.close()
    guest.reconnect()

    after = interpreter_in(guest, tmp_path)
    await after.recover()
    lab = Lab(guest, after)
    assert await lab.value("x") == "6"
    await after.close()


async def test_what_came_back_with_its_memory_runs_on(guest: LocalGuest, tmp_path: Path) -> None:
    before = interpreter_in(guest, tmp_path)
    lab = Lab(guest, before)
    started = asyncio.Event()
    code = "import pathlib, time\nprint('up')\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\nx = 7"
    running = asyncio.create_task(lab.run(code, timeout=None, seen=lambda event: started.set()))
    await started.wait()
    guest.disconnect()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await before.close()
    guest.reconnect()

    after = interpreter_in(guest, tmp_path)
    await after.recover(interrupt=False)
    lab = Lab(guest, after)
    with pytest.raises(DeadlineExceeded, match="still running something else"):
        await lab.run("x", timeout=1)
    (tmp_path / "go").touch()
    assert await lab.value("x") == "7"
    await after.close()


async def test_what_came_back_with_its_memory_can_be_interrupted(guest: LocalGuest, tmp_path: Path) -> None:
    before = interpreter_in(guest, tmp_path)
    lab = Lab(guest, before)
    started = asyncio.Event()
    code = "x = 8\nprint('up')\nwhile True: pass"
    running = asyncio.create_task(lab.run(code, timeout=None, seen=lambda event: started.set()))
    await started.wait()
    guest.disconnect()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await before.close()
    guest.reconnect()

    after = interpreter_in(guest, tmp_path)
    await after.recover(interrupt=False)
    lab = Lab(guest, after)
    await after.interrupt("default-python")
    assert await lab.value("x") == "8"
    await after.close()


async def test_variables_that_come_later_stay(guest: LocalGuest, tmp_path: Path) -> None:
    interpreter = interpreter_in(guest, tmp_path)
    lab = Lab(guest, interpreter)
    await interpreter.warm()
    own = await interpreter.create_context(env={"WHO": "its own"})
    interpreter.adopt_env({"WHO": "all", "FROM_SANDBOX": "later"})
    ask = "import os; os.environ['WHO'], os.environ['FROM_SANDBOX']"
    assert (await lab.run(ask, env={"WHO": "once"})).text == "('once', 'later')"
    assert await lab.value(ask) == "('all', 'later')"
    assert await lab.value(ask, context=own.id) == "('its own', 'later')"
    await lab.run("os.environ['WHO'] = 'mine'")
    assert await lab.value(ask) == "('mine', 'later')"
    later = await interpreter.create_context()
    assert await lab.value(ask, context=later.id) == "('all', 'later')"
    await interpreter.restart("default-python")
    assert await lab.value(ask) == "('all', 'later')"
    await interpreter.close()


async def test_variables_that_come_while_a_kernel_starts(guest: LocalGuest, tmp_path: Path) -> None:
    interpreter = interpreter_in(guest, tmp_path)
    lab = Lab(guest, interpreter)
    warming = asyncio.create_task(interpreter.warm())
    while not guest.spawned:
        await asyncio.sleep(0)
    interpreter.adopt_env({"WHO": "all"})
    await warming
    assert await lab.value("import os; os.environ['WHO']") == "'all'"
    await interpreter.close()
