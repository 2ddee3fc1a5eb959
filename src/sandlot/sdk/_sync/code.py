# Generated from ../_async/code.py by script/generate-sync: change that file, not this one.
"""Running code in interpreters that keep their variables."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from sandlot.sdk import _wire
from sandlot.sdk._errors import ServerUnavailableError
from sandlot.sdk._execution import Execution, ExecutionError, Result
from sandlot.sdk._models import CodeContext
from sandlot.sdk._sio import Callback, call

from ._api import Api

MAX_OUTPUT = 16 * 1024 * 1024


class Contexts:
    """The interpreters of one sandbox: ``sandbox.contexts``. Each has its own variables.

    All methods raise SandboxGoneError when the sandbox has ended, and NotFoundError for a context that is
    not there.
    """

    def __init__(self, api: Api, sandbox_id: str) -> None:
        self._api = api
        self._sandbox_id = sandbox_id

    def create(
        self, *, language: str = "python", cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> CodeContext:
        """Start an interpreter.

        Raises:
            InvalidArgumentError: the template has none for this language.

        Example:
            ```python
            context = sandbox.contexts.create(cwd="/tmp")
            sandbox.run_code("x = 1", context=context)
            assert (sandbox.run_code("x + 1", context=context)).text == "2"
            ```
        """
        body = {"language": language, **_wire.given(cwd=cwd, env=dict(env) if env else None)}
        answer = self._api.request("POST", self._route(), json=body, timeout=_wire.CREATE_TIMEOUT)
        return CodeContext._of(answer.json())

    def list(self) -> builtins.list[CodeContext]:
        """The interpreters that run.

        Example:
            ```python
            context = sandbox.contexts.create()
            assert context.id in [one.id for one in sandbox.contexts.list()]
            ```
        """
        answer = self._api.get(self._route())
        return [CodeContext._of(one) for one in answer["contexts"]]

    def remove(self, context: CodeContext | str) -> None:
        """End an interpreter.

        Example:
            ```python
            context = sandbox.contexts.create()
            sandbox.contexts.remove(context)
            ```
        """
        self._api.request("DELETE", self._route(_id(context)))

    def restart(self, context: CodeContext | str) -> None:
        """Start an interpreter afresh, without its variables and under the same id.

        Example:
            ```python
            context = sandbox.contexts.create()
            sandbox.run_code("x = 1", context=context)
            sandbox.contexts.restart(context)
            assert (sandbox.run_code("x", context=context)).error.name == "NameError"
            ```
        """
        self._api.request("POST", self._route(_id(context), "restart"), timeout=_wire.CREATE_TIMEOUT)

    def interrupt(self, context: CodeContext | str) -> None:
        """Interrupt what an interpreter is running, as Ctrl-C does. Its variables stay.

        Example:
            ```python
            context = sandbox.contexts.create()
            sandbox.contexts.interrupt(context)
            ```
        """
        self._api.request("POST", self._route(_id(context), "interrupt"))

    def _route(self, *parts: str) -> str:
        return _wire.path("sandboxes", self._sandbox_id, "contexts", *parts)


def _id(context: CodeContext | str) -> str:
    return context if isinstance(context, str) else context.id


class Run:
    """One run of code: takes its events, fills an Execution, and calls back."""

    def __init__(
        self,
        max_output: int,
        on_stdout: Callback[str] | None,
        on_stderr: Callback[str] | None,
        on_result: Callback[Result] | None,
        on_error: Callback[ExecutionError] | None,
    ) -> None:
        self.execution = Execution()
        self._room = {"stdout": max_output, "stderr": max_output}
        self._on_text = {"stdout": on_stdout, "stderr": on_stderr}
        self._on_result = on_result
        self._on_error = on_error

    def take(self, event: dict[str, Any]) -> bool:
        """False when this was the last event."""
        kind = event["type"]
        if kind in self._room:
            self._keep(kind, event["text"])
            call(self._on_text[kind], event["text"])
        elif kind == "result":
            result = Result._of(event)
            self.execution.results.append(result)
            call(self._on_result, result)
        elif kind == "error":
            error = ExecutionError._of(event)
            self.execution.error = error
            call(self._on_error, error)
        elif kind == "done":
            self.execution.execution_count = event.get("execution_count")
            self.execution.duration_ms = event.get("duration_ms")
            return False
        return True

    def _keep(self, kind: str, text: str) -> None:
        kept = text[: self._room[kind]]
        self._room[kind] -= len(kept)
        if len(kept) < len(text):
            self.execution.logs_truncated = True
        if kept:
            getattr(self.execution.logs, kind).append(kept)


def execute(api: Api, sandbox_id: str, body: Mapping[str, object], run: Run) -> Execution:
    """Send code and take its events to the end."""
    events = api.events("POST", _wire.path("sandboxes", sandbox_id, "code"), json=body)
    try:
        while True:
            event = events.next()
            if event is None:
                raise ServerUnavailableError(
                    "the connection was lost while the code ran; its variables are kept, its output is not"
                )
            if not run.take(event):
                events.finish()
                return run.execution
    finally:
        events.close()
