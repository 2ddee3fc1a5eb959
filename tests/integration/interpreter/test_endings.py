"""Time-outs, interrupts, kernels that die, clients that vanish."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from sandlot.core.interpreter import CodeEvent, ErrorEvent, Limits, Stdout
from tests.integration.interpreter.conftest import Lab, interpreter_in
from tests.unit.core.interpreter.local_guest import LocalGuest


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(1000)",
        "import subprocess; subprocess.run(['sleep', '1000'])",
        "!sleep 1000",
        "import asyncio; await asyncio.sleep(1000)",
        "import numpy as np\na = np.ones((300, 300))\nwhile True: a = a @ a / a.sum()",
        "while True: print('x')",
        "class R:\n    def __repr__(self):\n        while True: pass\nR()",
    ],
)
async def test_a_timeout_interrupts_and_keeps_the_state(lab: Lab, code: str) -> None:
    await lab.run("kept = 5")
    execution = await lab.run(code, timeout=0.5)
    assert execution.error is not None
    assert execution.error.name == "TimeoutError"
    assert "0.5 s" in execution.error.value
    assert "variables are kept" in execution.error.value
    assert await lab.value("kept") == "5"
    assert len(lab.guest.spawned) == 1


@pytest.mark.parametrize(
    "code",
    [
        "import time\nwhile True:\n    try: time.sleep(1000)\n    except: pass",
        "while True:\n    try:\n        while True:\n            try: x = 1\n"
        "            except BaseException: pass\n    except: pass",
        "import asyncio\nwhile True:\n    try: await asyncio.sleep(1000)\n    except: pass",
        "while True:\n    try: print('x')\n    except: pass",
        "import os\nwhile True: os.system('sleep 1000')",
    ],
)
async def test_code_that_swallows_interrupts_is_ended_all_the_same(lab: Lab, code: str) -> None:
    await lab.run("kept = 5")
    execution = await lab.run(code, timeout=0.5)
    assert execution.error is not None
    assert execution.error.name == "TimeoutError"
    assert await lab.value("kept") == "5"
    assert len(lab.guest.spawned) == 1


async def test_what_cannot_be_interrupted_is_killed_and_says_so(lab: Lab) -> None:
    await lab.run("lost = 5")
    execution = await lab.run(
        "import collections, itertools\ncollections.deque(itertools.count(), maxlen=0)",
        timeout=0.5,
    )
    assert execution.error is not None
    assert execution.error.name == "TimeoutError"
    assert "variables are lost" in execution.error.value
    execution = await lab.run("'lost' in globals()")
    assert execution.text == "False"
    assert execution.done.execution_count == 1
    assert execution.stderr == ""


async def test_code_may_tidy_up_when_it_is_interrupted(lab: Lab) -> None:
    execution = await lab.run(
        "try:\n    x = 1\n    while True: x += 1\nfinally:\n    print('tidied')", timeout=0.5
    )
    assert execution.stdout == "tidied\n"
    assert execution.error is not None
    assert "while True" in execution.error.traceback


async def test_background_processes_outlive_a_timeout(lab: Lab) -> None:
    await lab.run("import subprocess; p = subprocess.Popen(['sleep', '1000'])")
    await lab.run("while True: pass", timeout=0.5)
    assert await lab.value("p.poll()") is None
    await lab.run("p.kill(); p.wait()")


async def test_interrupt_by_request(lab: Lab) -> None:
    interrupted = asyncio.Event()

    def seen(event: CodeEvent) -> None:
        if isinstance(event, Stdout) and not interrupted.is_set():
            interrupted.set()

    running = asyncio.create_task(lab.run("kept = 6\nprint('going')\nwhile True: pass", seen=seen))
    await interrupted.wait()
    await lab.interpreter.interrupt("default-python")
    execution = await running
    assert execution.error is not None
    assert execution.error.name == "KeyboardInterrupt"
    assert await lab.value("kept") == "6"


async def test_an_interrupt_between_runs_does_nothing(lab: Lab) -> None:
    await lab.run("kept = 7")
    await lab.interpreter.interrupt("default-python")
    await lab.guest.signal(1, 2)
    await lab.guest.signal(1, 2)
    assert await lab.value("kept") == "7"
    assert len(lab.guest.spawned) == 1


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os; os._exit(3)", "exit code 3"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import os; os.abort()", "SIGABRT"),
    ],
)
async def test_a_dead_kernel_is_told_and_replaced(lab: Lab, code: str, says: str) -> None:
    await lab.run("x = 1")
    execution = await lab.run("print('before')\n" + code)
    assert execution.error is not None
    assert execution.error.name == "KernelDied"
    assert says in execution.error.value
    assert "variables are lost" in execution.error.value
    execution = await lab.run("'x' in globals()")
    assert execution.text == "False"
    assert execution.stderr == ""  # it was said already


async def test_a_crash_says_where(lab: Lab) -> None:
    execution = await lab.run("import ctypes\ndef crash(): ctypes.string_at(0)\ncrash()")
    assert execution.error is not None
    assert "Segmentation fault" in execution.error.traceback
    assert "in crash" in execution.error.traceback


async def test_death_between_runs_is_told_at_the_next(lab: Lab) -> None:
    await lab.run("import os, threading; threading.Timer(0.05, os._exit, [4]).start()")
    while lab.guest.running:
        await asyncio.sleep(0.01)
    execution = await lab.run("1 + 1")
    assert execution.text == "2"
    assert "exit code 4" in execution.stderr
    assert "no variables" in execution.stderr


async def test_a_client_that_leaves_interrupts_its_run(lab: Lab) -> None:
    await lab.run("kept = 8")
    async with aclosing(lab.interpreter.run("print('going')\nwhile True: pass")) as events:
        async for _ in events:
            break
    assert await lab.value("kept") == "8"
    assert len(lab.guest.spawned) == 1


async def test_a_cancelled_client_interrupts_its_run(lab: Lab) -> None:
    started = asyncio.Event()
    running = asyncio.create_task(lab.run("print(1)\nwhile True: pass", seen=lambda event: started.set()))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await lab.value("1 + 1") == "2"


async def test_a_client_that_leaves_amid_much_output(lab: Lab) -> None:
    async with aclosing(lab.interpreter.run("while True: print('x' * 1000)")) as events:
        async for _ in events:
            break
    assert await lab.value("1 + 1") == "2"


async def test_a_slow_client_holds_the_run_and_its_timeout_still_comes(lab: Lab) -> None:
    await lab.run("n = 0")
    run = lab.interpreter.run("while True:\n    print('x' * 1000); n += 1", timeout=1)
    events: list[CodeEvent] = []
    async with aclosing(run):
        async for event in run:
            if not events:
                # Long enough for gigabytes, were they not held back.
                assert await asyncio.wait_for(_idle_until_done(lab), 30)
            events.append(event)
    assert any(isinstance(event, ErrorEvent) and event.name == "TimeoutError" for event in events)
    printed = int(await lab.value("n") or 0)
    assert printed * 1000 < 32 * 1024 * 1024


async def _idle_until_done(lab: Lab) -> bool:
    """The run ends by its timeout although nobody reads: then the turn is free again."""
    assert await lab.value("1 + 1") == "2"
    return True


async def test_too_much_output_is_interrupted(guest: LocalGuest, tmp_path: Path) -> None:
    interpreter = interpreter_in(guest, tmp_path, Limits(output_bytes=1_000_000))
    lab = Lab(guest, interpreter)
    execution = await lab.run("kept = 9\nwhile True: print('x' * 100)")
    assert execution.error is not None
    assert execution.error.name == "OutputLimitExceeded"
    assert "1000000" in execution.error.value
    assert len(execution.stdout) <= 1_000_000
    assert await lab.value("kept") == "9"
    await interpreter.close()
