"""E2B's code interpreter client: what it sends is run, and what comes back fits its own classes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import e2b
import httpx
import pytest
from e2b_code_interpreter import AsyncSandbox, Context, OutputMessage, Result, Sandbox

from sandlot.server.local import LocalServer

FOR_EVER = "import time\nprint('begun', flush=True)\nwhile True: time.sleep(0.1)"


@pytest.fixture
async def async_code(server: LocalServer) -> AsyncIterator[AsyncSandbox]:
    sandbox = await AsyncSandbox.create()
    yield sandbox
    await sandbox.kill()


@pytest.mark.e2b("Sandbox.run_code")
def test_what_code_leaves_is_there_for_the_next(code: Sandbox) -> None:
    code.run_code("prices = [3, 4, 5]")
    execution = code.run_code("import sys\nprint('out')\nprint('err', file=sys.stderr)\nsum(prices)")
    assert execution.text == "12"
    assert execution.logs.stdout == ["out\n"]
    assert execution.logs.stderr == ["err\n"]
    assert execution.error is None
    again = code.run_code("prices")
    assert (again.text, again.execution_count) == ("[3, 4, 5]", (execution.execution_count or 0) + 1)


def test_text_is_what_it_says_and_not_how_it_would_be_written(code: Sandbox) -> None:
    assert code.run_code("'it says \"hello\"'").text == 'it says "hello"'
    assert code.run_code("('a', 'b')").text == "('a', 'b')"


def test_output_is_told_while_the_code_runs(code: Sandbox) -> None:
    messages: list[OutputMessage] = []
    results: list[Result] = []
    seen = threading.Event()

    def on_stdout(message: OutputMessage) -> None:
        messages.append(message)
        seen.set()

    def release() -> None:
        seen.wait(60)
        code.commands.run("touch /tmp/seen")

    releasing = threading.Thread(target=release)
    releasing.start()
    execution = code.run_code(
        "import pathlib, sys, time\nprint('first', flush=True)\n"
        "while not pathlib.Path('/tmp/seen').exists(): time.sleep(0.01)\n"
        "print('second', file=sys.stderr)\ndisplay('third')\n",
        on_stdout=on_stdout,
        on_stderr=messages.append,
        on_result=results.append,
    )
    releasing.join()
    assert execution.error is None
    assert [(message.line, message.error) for message in messages] == [("first\n", False), ("second\n", True)]
    assert messages[0].timestamp <= messages[1].timestamp
    assert [result.text for result in results] == ["third"]
    assert not results[0].is_main_result


def test_an_exception_is_data(code: Sandbox) -> None:
    told: list[str] = []
    execution = code.run_code("1 / 0", on_error=lambda error: told.append(error.name))
    assert execution.error is not None
    assert (execution.error.name, execution.error.value) == ("ZeroDivisionError", "division by zero")
    assert "1 / 0" in execution.error.traceback
    assert told == ["ZeroDivisionError"]
    assert code.run_code("import sys; sys.exit(3)").error
    assert code.run_code("1 + 1").text == "2"


def test_variables_for_one_run(code: Sandbox) -> None:
    assert code.run_code("import os; os.environ['ONCE']", envs={"ONCE": "ä b"}).text == "ä b"
    assert code.run_code("os.environ.get('ONCE', 'gone')").text == "gone"


def test_variables_of_the_sandbox(server: LocalServer) -> None:
    with Sandbox.create(envs={"KEPT": "1"}) as sandbox:
        assert sandbox.run_code("import os; os.environ['KEPT']").text == "1"
        assert sandbox.run_code("os.environ['KEPT']", envs={"KEPT": "2"}).text == "2"
        assert sandbox.run_code("os.environ['KEPT']").text == "1"


def test_every_kind_of_result(code: Sandbox) -> None:
    execution = code.run_code(
        "from IPython.display import *\n"
        "for shown in (HTML('<b>x</b>'), Markdown('*x*'), SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>'),\n"
        "              Latex('$x$'), JSON({'x': [1]}), Javascript('x')):\n"
        "    display(shown)\n"
        "display({'image/png': 'cG5n', 'image/jpeg': 'anBn', 'application/pdf': 'cGRm', 'text/x': 'extra'},\n"
        "        raw=True)\n"
        "import pandas\n"
        "pandas.DataFrame({'city': ['Ulm', 'Bonn'], 'people': [126, 330]})\n"
    )
    assert execution.error is None
    html, markdown, svg, latex, json, javascript, others, table = execution.results
    assert (html.html, markdown.markdown, latex.latex) == ("<b>x</b>", "*x*", "$x$")
    assert svg.svg is not None
    assert svg.svg.startswith("<svg")
    assert json.json == {"x": [1]}
    assert javascript.javascript == "x"
    assert (others.png, others.jpeg, others.pdf) == ("cG5n", "anBn", "cGRm")
    assert others.extra == {"text/x": "extra"}
    assert list(others.formats()) == ["png", "jpeg", "pdf", "text/x"]
    assert table.is_main_result
    assert table.data == {"city": ["Ulm", "Bonn"], "people": [126, 330]}
    assert table.html is not None
    assert list(table.formats()) == ["text", "html", "data"]


@pytest.mark.e2b("Sandbox.create_code_context", "Sandbox.list_code_contexts")
def test_contexts_share_nothing(code: Sandbox) -> None:
    there = {context.id: context for context in code.list_code_contexts()}
    assert "python" in {context.language for context in there.values()}
    one, two = code.create_code_context(cwd="/tmp"), code.create_code_context()
    assert (one.language, one.cwd, two.cwd) == ("python", "/tmp", "/home/user")
    assert [context.id for context in code.list_code_contexts()][-2:] == [one.id, two.id]
    code.run_code("x = 1", context=one)
    assert code.run_code("import os; x, os.getcwd()", context=one).text == "(1, '/tmp')"
    missing = code.run_code("x", context=two)
    assert missing.error is not None
    assert missing.error.name == "NameError"


@pytest.mark.e2b("Sandbox.restart_code_context", "Sandbox.remove_code_context")
def test_a_context_begins_anew_and_ends(code: Sandbox) -> None:
    context = code.create_code_context(language="python")
    code.run_code("x = 1", context=context)
    code.restart_code_context(context)
    assert code.run_code("'x' in globals()", context=context).text == "False"
    code.remove_code_context(context.id)
    assert context.id not in {each.id for each in code.list_code_contexts()}
    with pytest.raises(e2b.NotFoundException, match=context.id):
        code.run_code("1", context=context)


def test_the_default_context_has_a_name_before_it_is_used(server: LocalServer) -> None:
    with Sandbox.create() as sandbox:
        [default] = [each for each in sandbox.list_code_contexts() if each.language == "python"]
        sandbox.run_code("x = 1", context=default)
        assert sandbox.run_code("x").text == "1"
        assert [each.id for each in sandbox.list_code_contexts()].count(default.id) == 1


def test_who_goes_away_interrupts_the_run_and_keeps_the_variables(code: Sandbox) -> None:
    code.run_code("kept = 1")
    with pytest.raises(e2b.TimeoutException, match="Execution timed out"):
        code.run_code(FOR_EVER, timeout=1)
    assert code.run_code("kept").text == "1"


def test_a_sandbox_that_is_killed_while_code_runs(server: LocalServer) -> None:
    with Sandbox.create() as sandbox, pytest.raises(e2b.TimeoutException, match="sandbox was killed"):
        sandbox.run_code(FOR_EVER, on_stdout=lambda _: sandbox.kill() and None)


@pytest.mark.parametrize(
    ("context", "what"),
    [
        (Context("nobody", "python", "/"), "nobody"),
        (Context("default-cobol", "cobol", "/"), "default-cobol"),
    ],
)
def test_a_context_that_is_not_there(code: Sandbox, context: Context, what: str) -> None:
    with pytest.raises(e2b.NotFoundException, match=what):
        code.run_code("1", context=context)
    for call in (code.restart_code_context, code.remove_code_context):
        with pytest.raises(e2b.NotFoundException, match=what):
            call(context)


def test_what_cannot_be_is_refused_with_a_reason(code: Sandbox) -> None:
    with pytest.raises(e2b.SandboxException, match="no interpreter for 'cobol'; it has: "):
        code.run_code("DISPLAY 'HELLO'", language="cobol")
    with pytest.raises(e2b.SandboxException, match="no interpreter for 'cobol'"):
        code.create_code_context(language="cobol")
    with pytest.raises(e2b.NotFoundException, match="/nowhere"):
        code.create_code_context(cwd="/nowhere")
    with pytest.raises(e2b.SandboxException, match="env"):
        code.run_code("1", envs={"A=B": "1"})


def test_a_template_without_interpreters(server: LocalServer) -> None:
    with Sandbox.create("base") as sandbox:
        assert sandbox.list_code_contexts() == []
        with pytest.raises(e2b.SandboxException, match="no code interpreter"):
            sandbox.run_code("1")


def test_code_is_run_for_those_with_the_token_only(server: LocalServer, code: Sandbox) -> None:
    address = {"e2b-sandbox-id": code.sandbox_id, "e2b-sandbox-port": "49999"}
    for token in ({}, {"x-access-token": "0" * 40}):
        answer = httpx.post(f"{server.url}/execute", headers=address | token, json={"code": "1"})
        assert answer.status_code == 401
        assert "access token" in answer.text
    wrong = httpx.get(f"{server.url}/contexts", headers=address | {"x-access-token": "0" * 40})
    assert wrong.status_code == 401


def test_contexts_of_a_sandbox_whose_ports_are_not_public(server: LocalServer) -> None:
    with Sandbox.create(network={"allow_public_traffic": False}) as sandbox:
        context = sandbox.create_code_context()
        assert sandbox.run_code("1", context=context).text == "1"
        address = {"e2b-sandbox-id": sandbox.sandbox_id, "e2b-sandbox-port": "49999"}
        assert httpx.get(f"{server.url}/contexts", headers=address).status_code == 401


async def test_async(async_code: AsyncSandbox) -> None:
    printed: list[str] = []
    context, _ = await asyncio.gather(
        async_code.create_code_context(cwd="/tmp"), async_code.run_code("x = 'default'")
    )
    inside, outside = await asyncio.gather(
        async_code.run_code("print('in'); 'x' in globals()", context=context),
        async_code.run_code("print('out'); x", on_stdout=lambda message: printed.append(message.line)),
    )
    assert (inside.text, outside.text, printed) == ("False", "default", ["out\n"])
    await async_code.restart_code_context(context)
    assert context.id in [each.id for each in await async_code.list_code_contexts()]
    await async_code.remove_code_context(context)
    with pytest.raises(e2b.TimeoutException, match="Execution timed out"):
        await async_code.run_code(FOR_EVER, timeout=1)
    assert (await async_code.run_code("x")).text == "default"
