"""The code interpreter in a real sandbox, on both tiers."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from sandlot import Sandbox
from sandlot.sdk import InvalidArgumentError, NotFoundError
from sandlot.server.local import LocalServer

from .conftest import Make


@pytest.fixture(scope="module", params=["gvisor", "container"])
def coder(server: LocalServer, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    options = {"isolation": request.param, "timeout": 1800, "memory_mib": 2048}
    with Sandbox.create("code-interpreter", **options) as shared:
        yield shared


def test_state_is_kept_from_call_to_call(coder: Sandbox) -> None:
    coder.run_code("x = 20\ndef double(n): return 2 * n")
    execution = coder.run_code("print('computing'); double(x) + 2")
    assert execution.text == "42"
    assert execution.logs.stdout == ["computing\n"]
    assert execution.error is None


def test_errors_come_as_data_and_state_survives_them(coder: Sandbox) -> None:
    coder.run_code("kept = 1")
    error = coder.run_code("1/0").error
    assert error is not None
    assert (error.name, error.value) == ("ZeroDivisionError", "division by zero")
    assert "1/0" in error.traceback
    assert coder.run_code("kept").text == "1"


def test_output_streams_while_it_runs(coder: Sandbox) -> None:
    seen: list[str] = []
    coder.run_code(
        "import sys\nprint('a')\nprint('b', file=sys.stderr)", on_stdout=lambda o: seen.append(str(o))
    )
    assert "".join(seen).strip() == "a"


def test_files_commands_and_code_see_one_world(coder: Sandbox) -> None:
    coder.files.write("table.csv", "city,people\nUlm,126\nBonn,330\n")
    coder.run_code("import pandas as pd; table = pd.read_csv('table.csv'); table.to_json('table.json')")
    assert "Bonn" in coder.commands.run("cat table.json").stdout
    result = coder.run_code("table").results[0]
    assert result.html is not None
    assert "Bonn" in result.html


def test_a_chart_is_a_picture_and_data(coder: Sandbox) -> None:
    coder.run_code("import matplotlib.pyplot as plt")
    execution = coder.run_code("plt.plot([1, 2, 3], [4, 5, 6]); plt.title('Growth'); plt.show()")
    [result] = [r for r in execution.results if r.png]
    assert base64.b64decode(result.png).startswith(b"\x89PNG")
    assert result.chart["type"] == "line"
    assert result.chart["title"] == "Growth"


def test_a_timeout_interrupts_and_keeps_the_state(coder: Sandbox) -> None:
    coder.run_code("kept = 'still here'")
    execution = coder.run_code("import time\nwhile True: time.sleep(0.01)", timeout=1)
    assert execution.error is not None
    assert "imeout" in execution.error.name
    assert coder.run_code("kept").text == "'still here'"


def test_contexts_are_apart_and_restart_forgets(coder: Sandbox) -> None:
    one, two = coder.contexts.create(), coder.contexts.create(cwd="/tmp")
    coder.run_code("whose = 'one'", context=one)
    coder.run_code("whose = 'two'", context=two)
    assert coder.run_code("whose", context=one).text == "'one'"
    assert coder.run_code("import os; os.getcwd()", context=two).text == "'/tmp'"
    coder.contexts.restart(one)
    assert coder.run_code("whose", context=one).error.name == "NameError"
    coder.contexts.remove(two)
    with pytest.raises(NotFoundError):
        coder.run_code("1", context=two)
    assert one.id in [context.id for context in coder.contexts.list()]


def test_a_dead_kernel_is_said_and_replaced(coder: Sandbox) -> None:
    context = coder.contexts.create()
    execution = coder.run_code("import os; os._exit(3)", context=context)
    assert execution.error is not None
    assert coder.run_code("1 + 1", context=context).text == "2"


def test_base_says_which_template_has_an_interpreter(make: Make) -> None:
    with pytest.raises(InvalidArgumentError, match="code-interpreter"):
        make().run_code("1")


def test_node_is_there(coder: Sandbox) -> None:
    assert coder.commands.run("node -e 'console.log(6 * 7)'").stdout == "42\n"
    assert coder.commands.run("npm --version").exit_code == 0
