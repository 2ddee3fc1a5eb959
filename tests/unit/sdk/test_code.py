from __future__ import annotations

import pytest

from sandlot import NotFoundError, Sandbox, ServerUnavailableError

from .stub import Stub


@pytest.fixture
def sandbox(stub: Stub) -> Sandbox:
    return Sandbox.create("code-interpreter")


def test_values_prints_and_state(sandbox: Sandbox) -> None:
    printed: list[str] = []
    sandbox.run_code("x = 20")
    execution = sandbox.run_code("print('hi')\nx + 1", on_stdout=printed.append)
    assert execution.text == "21"
    assert execution.logs.stdout == printed == ["hi\n"]
    assert execution.error is None
    assert (execution.execution_count, execution.duration_ms) == (1, 1.5)


def test_an_exception_is_data(sandbox: Sandbox) -> None:
    seen: list[str] = []
    execution = sandbox.run_code("1 / 0", on_error=lambda error: seen.append(str(error)))
    assert execution.error is not None
    assert execution.error.name == "ZeroDivisionError"
    assert seen == ["ZeroDivisionError: division by zero"]
    assert execution.text is None


def test_a_result_shows_itself_in_a_notebook(sandbox: Sandbox) -> None:
    execution = sandbox.run_code("'text'")
    [result] = execution.results
    assert result.formats == ["text", "png", "x/y"]
    bundle = {"text/plain": "'text'", "image/png": "aGk=", "x/y": "z"}
    assert result._repr_mimebundle_() == execution._repr_mimebundle_() == bundle


def test_logs_are_bounded_and_callbacks_get_all(sandbox: Sandbox) -> None:
    got: list[str] = []
    execution = sandbox.run_code("for i in range(9): print('x')\n", max_output=5, on_stdout=got.append)
    assert "".join(execution.logs.stdout) == "x\nx\nx"
    assert execution.logs_truncated
    assert len(got) == 9


def test_contexts_are_apart(sandbox: Sandbox) -> None:
    one, two = sandbox.contexts.create(cwd="/tmp"), sandbox.contexts.create()
    assert one.cwd == "/tmp"
    sandbox.run_code("x = 1", context=one)
    assert sandbox.run_code("x", context=one.id).text == "1"
    assert sandbox.run_code("x", context=two).error is not None
    sandbox.contexts.restart(one)
    sandbox.contexts.interrupt(one)
    assert sandbox.run_code("x", context=one).error is not None
    sandbox.contexts.remove(two)
    assert [context.id for context in sandbox.contexts.list()] == [one.id]
    with pytest.raises(NotFoundError):
        sandbox.run_code("1", context=two)


def test_a_broken_connection_is_said(stub: Stub, sandbox: Sandbox) -> None:
    stub.cut = 1
    with pytest.raises(ServerUnavailableError):
        sandbox.run_code("1")
