"""State, output, errors: what running code gives back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sandlot.core.interpreter import CodeEvent, Result, Stderr, Stdout
from tests.integration.interpreter.conftest import Lab


async def test_the_last_expression_is_the_main_result(lab: Lab) -> None:
    execution = await lab.run("x = 20\nx + 1")
    assert execution.text == "21"
    assert execution.results[0].is_main
    assert execution.error is None
    assert execution.done.execution_count == 1
    assert execution.done.duration_ms > 0


async def test_variables_imports_and_history_stay(lab: Lab) -> None:
    await lab.run("import json\nx = {'a': 1}\ndef f(): return json.dumps(x)")
    assert await lab.value("f()") == "'{\"a\": 1}'"
    assert await lab.value("_") == "'{\"a\": 1}'"
    assert await lab.value("Out[2]") == "'{\"a\": 1}'"
    assert (await lab.run("1")).done.execution_count == 5


async def test_a_semicolon_or_an_assignment_gives_no_result(lab: Lab) -> None:
    assert (await lab.run("1 + 1;")).results == []
    assert (await lab.run("y = 2")).results == []
    assert (await lab.run("")).results == []
    assert (await lab.run("# nothing\n")).error is None


async def test_output_of_python_c_and_children_is_in_order(lab: Lab) -> None:
    execution = await lab.run(
        "import os, subprocess, sys\n"
        "print('one')\n"
        "os.system('echo two')\n"
        "os.write(1, b'three\\n')\n"
        "subprocess.run(['echo', 'four'])\n"
        "sys.stdout.buffer.write(b'five\\n')\n"
        "print('six')\n"
        "!echo seven\n"
        "print('eight')"
    )
    assert execution.stdout.split() == ["one", "two", "three", "four", "five", "six", "seven", "eight"]


async def test_streams_and_results_keep_their_order(lab: Lab) -> None:
    execution = await lab.run(
        "import sys\nprint('a')\nprint('b', file=sys.stderr)\ndisplay('c')\nprint('d')\n'e'"
    )
    told = [event.text if isinstance(event, Stdout | Stderr | Result) else "" for event in execution.events]
    assert told == ["a\n", "b\n", "'c'", "d\n", "'e'", ""]
    assert execution.stderr == "b\n"


async def test_output_arrives_while_the_code_runs(lab: Lab, tmp_path: Path) -> None:
    """The run goes on only because its first line was seen."""
    flag = tmp_path / "seen"

    def seen(event: CodeEvent) -> None:
        if isinstance(event, Stdout):
            flag.touch()

    execution = await lab.run(
        "import pathlib, time\nprint('first')\n"
        f"while not pathlib.Path({str(flag)!r}).exists(): time.sleep(0.01)",
        seen=seen,
    )
    assert execution.error is None


async def test_fifty_megabytes(lab: Lab) -> None:
    execution = await lab.run("for i in range(50): print('x' * 999_999)")
    assert len(execution.stdout) == 50_000_000


async def test_fifty_megabytes_of_a_child(lab: Lab) -> None:
    execution = await lab.run("!head -c 50000000 /dev/zero | tr '\\0' x")
    assert len(execution.stdout) == 50_000_000


async def test_unicode_also_in_pieces_and_broken(lab: Lab) -> None:
    execution = await lab.run(
        "import os\n"
        "print('grüße 😀', '\\ud800')\n"
        "for byte in '😀'.encode(): os.write(1, bytes([byte]))\n"
        "os.write(1, b'\\xff\\n')\n"
        "'ünï'"
    )
    assert execution.stdout == "grüße 😀 ?\n😀\ufffd\n"
    assert execution.text == "'ünï'"


async def test_an_error_has_name_value_and_plain_traceback(lab: Lab) -> None:
    execution = await lab.run("def f():\n    return 1 / 0\n\nprint('before')\nf()\nprint('after')")
    assert execution.error is not None
    assert execution.error.name == "ZeroDivisionError"
    assert execution.error.value == "division by zero"
    assert "return 1 / 0" in execution.error.traceback
    assert "line 5" in execution.error.traceback
    assert "\x1b" not in execution.error.traceback
    assert execution.stdout == "before\n"
    assert execution.stderr == ""


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("def f(:\n  pass", "SyntaxError"),
        ("if True:\nprint(1)", "IndentationError"),
        ("return 1", "SyntaxError"),
        ("nowhere", "NameError"),
        ("import nowhere", "ModuleNotFoundError"),
        ("%nowhere", "UsageError"),
        ("raise ExceptionGroup('several', [ValueError(1)])", "ExceptionGroup"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("exit()", "SystemExit"),
        ("quit", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("input('name?')", "EOFError"),
        ("def f(): f()\nf()", "RecursionError"),
    ],
)
async def test_errors_by_name_and_the_kernel_lives(lab: Lab, code: str, name: str) -> None:
    await lab.run("kept = 1")
    execution = await lab.run(code)
    assert execution.error is not None
    assert execution.error.name == name
    assert execution.error.traceback
    assert "sandlot_kernel" not in execution.error.traceback
    assert await lab.value("kept") == "1"


async def test_an_exception_that_cannot_be_printed(lab: Lab) -> None:
    execution = await lab.run("class E(Exception):\n    def __str__(self): raise ValueError\nraise E")
    assert execution.error is not None
    assert execution.error.name == "E"


async def test_huge_error_text_is_cut(lab: Lab) -> None:
    execution = await lab.run("raise ValueError('x' * 100_000_000)")
    assert execution.error is not None
    assert len(execution.error.value) < 100_000
    assert "left out" in execution.error.value


async def test_env_is_for_the_run_and_restored(lab: Lab) -> None:
    await lab.run("import os; os.environ['OLD'] = 'before'")
    code = "os.environ.get('NEW'), os.environ.get('OLD'), os.environ.get('FROM_SANDBOX')"
    execution = await lab.run(code, env={"NEW": "1", "OLD": "2"})
    assert execution.text == "('1', '2', 'yes')"
    assert await lab.value(code) == "(None, 'before', 'yes')"


async def test_env_is_restored_after_an_error(lab: Lab) -> None:
    await lab.run("1 / 0", env={"NEW": "1"})
    assert await lab.value("import os; 'NEW' in os.environ") == "False"


async def test_magics(lab: Lab) -> None:
    assert "per loop" in (await lab.run("%timeit -n 2 -r 2 1 + 1")).stdout
    assert (await lab.run("%%bash\necho from $((1 + 1))")).stdout == "from 2\n"
    assert (await lab.run("word = 'hi'\n!echo {word}\n!echo $FROM_SANDBOX")).stdout == "hi\nyes\n"
    assert await lab.value("!exit 3\n_exit_code") == "3"
    assert (await lab.run("files = !ls -a\nlen(files) > 0")).text == "True"
    assert "pip" in (await lab.run("%pip --version")).stdout
    assert "Wall time" in (await lab.run("%%time\nsum(range(10))")).stdout
    assert "Print" in (await lab.run("print?")).stdout


async def test_top_level_await_and_tasks_that_go_on(lab: Lab) -> None:
    assert await lab.value("import asyncio\nawait asyncio.sleep(0, 'slept')") == "'slept'"
    await lab.run(
        "done = []\n"
        "async def later():\n"
        "    await asyncio.sleep(0.05)\n"
        "    done.append(1)\n"
        "task = asyncio.create_task(later())\n"
        "await asyncio.sleep(0)"
    )
    for _ in range(100):
        if await lab.value("done") == "[1]":
            return
        await asyncio.sleep(0.02)
    pytest.fail("the task stood still between runs")


async def test_asyncio_run_works(lab: Lab) -> None:
    assert await lab.value("import asyncio\nasync def f(): return 7\nasyncio.run(f())") == "7"


async def test_modules_in_the_working_directory_win_nothing_of_the_kernel(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("value = 5")
    (tmp_path / "display.py").write_text("value = 6")
    assert await lab.value("import mine, display as d; mine.value + d.value") == "11"
    assert await lab.value("import os; os.getcwd()") == repr(str(tmp_path))


async def test_threads_may_print_after_the_run(lab: Lab) -> None:
    """What comes between runs is told at the beginning of the next."""
    await lab.run(
        "import threading\n"
        "go, gone = threading.Event(), threading.Event()\n"
        "def late():\n    go.wait(); print('late'); gone.set()\n"
        "t = threading.Thread(target=late); t.start()"
    )
    execution = await lab.run("print('now'); go.set(); gone.wait(); t.join()")
    assert execution.stdout == "now\nlate\n"
    await lab.run("threading.Timer(0.05, print, ['between']).start()")
    await asyncio.sleep(0.3)
    execution = await lab.run("print('next')")
    assert execution.stdout == "between\nnext\n"


async def test_a_chatty_background_process_is_neither_stopped_nor_kept_whole(lab: Lab) -> None:
    await lab.run(
        "import subprocess\n"
        "p = subprocess.Popen(\"head -c 3000000 /dev/zero | tr '\\\\0' x; echo; echo end\", shell=True)"
    )
    execution = await lab.run("p.wait(timeout=20)")
    assert execution.error is None
    assert execution.stdout.endswith("end\n")


async def test_fork_in_user_code(lab: Lab) -> None:
    execution = await lab.run(
        "import os\n"
        "pid = os.fork()\n"
        "if pid == 0:\n    print('child')\n"
        "else:\n    os.waitpid(pid, 0); print('parent')"
    )
    assert execution.stdout == "child\nparent\n"
    execution = await lab.run(
        "import multiprocessing as mp\n"
        "def square(x):\n    print('squaring', x, flush=True); return x * x\n"
        "with mp.get_context('fork').Pool(2) as pool: squares = pool.map(square, [1, 2, 3])\n"
        "squares"
    )
    assert execution.text == "[1, 4, 9]"
    assert execution.stdout.count("squaring") == 3


async def test_code_may_be_large(lab: Lab) -> None:
    assert await lab.value(f"s = {'x' * 2_000_000!r}\nlen(s)") == "2000000"


async def test_closing_its_descriptors_does_not_break_the_kernel(lab: Lab) -> None:
    assert (await lab.run("import os; os.close(1); os.close(2); print('still')")).stdout == "still\n"
    assert await lab.value("1 + 1") == "2"
