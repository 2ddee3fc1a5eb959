"""Running code in interpreters that keep their variables."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from sandlot.sdk import _wire
from sandlot.sdk._aio import AsyncCallback, call
from sandlot.sdk._errors import ServerUnavailableError
from sandlot.sdk._execution import Execution, ExecutionError, Result
from sandlot.sdk._models import CodeContext

from ._api import AsyncApi

MAX_OUTPUT = 16 * 1024 * 1024


class AsyncContexts:
    """The interpreters of one sandbox: ``sandbox.contexts``. Each has its own variables.

    All methods raise SandboxGoneError when the sandbox has ended, and NotFoundError for a context that is
    not there.
    """

    def __init__(self, api: AsyncApi, sandbox_id: str) -> None:
        self._api = api
        self._sandbox_id = sandbox_id

    async def create(
        self, *, language: str = "python", cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> CodeContext:
        """Start an interpreter.

        Raises:
            InvalidArgumentError: the template has none for this language.

        Example:
            ```python
            context = await sandbox.contexts.create(cwd="/tmp")
            await sandbox.run_code("x = 1", context=context)
            assert (await sandbox.run_code("x + 1", context=context)).text == "2"
            ```
        """
        body = {"language": language, **_wire.given(cwd=cwd, env=dict(env) if env else None)}
        answer = await self._api.request("POST", self._route(), json=body, timeout=_wire.CREATE_TIMEOUT)
        return CodeContext._of(answer.json())

    async def list(self) -> builtins.list[CodeContext]:
        """The interpreters that run.

        Example:
            ```python
            context = await sandbox.contexts.create()
            assert context.id in [one.id for one in await sandbox.contexts.list()]
            ```
        """
        answer = await self._api.get(self._route())
        return [CodeContext._of(one) for one in answer["contexts"]]

    async def remove(self, context: CodeContext | str) -> None:
        """End an interpreter.

        Example:
            ```python
            context = await sandbox.contexts.create()
            await sandbox.contexts.remove(context)
            ```
        """
        await self._api.request("DELETE", self._route(_id(context)))

    async def restart(self, context: CodeContext | str) -> None:
        """Start an interpreter afresh, without its variables and under the same id.

        Example:
            ```python
            context = await sandbox.contexts.create()
            await sandbox.run_code("x = 1", context=context)
            await sandbox.contexts.restart(context)
            assert (await sandbox.run_code("x", context=context)).error.name == "NameError"
            ```
        """
        await self._api.request("POST", self._route(_id(context), "restart"), timeout=_wire.CREATE_TIMEOUT)

    async def interrupt(self, context: CodeContext | str) -> None:
        """Interrupt what an interpreter is running, as Ctrl-C does. Its variables stay.

        Example:
            ```python
            context = await sandbox.contexts.create()
            await sandbox.contexts.interrupt(context)
            ```
        """
        await self._api.request("POST", self._route(_id(context), "interrupt"))

    def _route(self, *parts: str) -> str:
        return _wire.path("sandboxes", self._sandbox_id, "contexts", *parts)


def _id(context: CodeContext | str) -> str:
    return context if isinstance(context, str) else context.id


class AsyncRun:
    """One run of code: takes its events, fills an Execution, and calls back."""

    def __init__(
        self,
        max_output: int,
        on_stdout: AsyncCallback[str] | None,
        on_stderr: AsyncCallback[str] | None,
        on_result: AsyncCallback[Result] | None,
        on_error: AsyncCallback[ExecutionError] | None,
    ) -> None:
        self.execution = Execution()
        self._room = {"stdout": max_output, "stderr": max_output}
        self._on_text = {"stdout": on_stdout, "stderr": on_stderr}
        self._on_result = on_result
        self._on_error = on_error

    async def take(self, event: dict[str, Any]) -> bool:
        """False when this was the last event."""
        kind = event["type"]
        if kind in self._room:
            self._keep(kind, event["text"])
            await call(self._on_text[kind], event["text"])
        elif kind == "result":
            result = Result._of(event)
            self.execution.results.append(result)
            await call(self._on_result, result)
        elif kind == "error":
            error = ExecutionError._of(event)
            self.execution.error = error
            await call(self._on_error, error)
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


async def execute(api: AsyncApi, sandbox_id: str, body: Mapping[str, object], run: AsyncRun) -> Execution:
    """Send code and take its events to the end."""
    events = await api.events("POST", _wire.path("sandboxes", sandbox_id, "code"), json=body)
    try:
        while True:
            event = await events.next()
            if event is None:
                raise ServerUnavailableError(
                    "the connection was lost while the code ran; its variables are kept, its output is not"
                )
            if not await run.take(event):
                await events.finish()
                return run.execution
    finally:
        await events.close()
