"""An interactive terminal in a sandbox."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

from sandlot.sdk import _wire
from sandlot.sdk._aio import AsyncSocket
from sandlot.sdk._errors import (
    NotFoundError,
    SandboxError,
    SandboxGoneError,
    ServerUnavailableError,
    from_body,
)
from sandlot.sdk._models import CommandExit

from ._api import AsyncApi


class AsyncTerminal:
    """A program with a terminal, made by ``sandbox.terminal``; use it as a context manager.

    What it writes is bytes, as a terminal would show them, escape sequences and all. Leaving the block hangs
    up: the program gets SIGHUP, unless ``detach`` was called.

    Example:
        ```python
        async with sandbox.terminal(24, 80) as terminal:
            await terminal.write("echo $((6 * 7)); exit\\n")
            shown = b""
            async for data in terminal:
                shown += data
        assert b"42" in shown and terminal.exit.exit_code == 0
        ```
    """

    def __init__(self, api: AsyncApi, sandbox_id: str, params: dict[str, object]) -> None:
        #: The id of the program, for ``sandbox.terminal(command_id=...)`` and ``sandbox.commands``.
        self.id = 0
        self.pid = 0
        #: How the program ended; None before.
        self.exit: CommandExit | None = None
        self._api = api
        self._sandbox_id = sandbox_id
        self._params = params
        self._socket: AsyncSocket | None = None

    async def __aenter__(self) -> Self:
        path = _wire.path("sandboxes", self._sandbox_id, "terminal") + _wire.query(self._params)
        self._socket = await AsyncSocket.connect(self._api.endpoint, path)
        try:
            started = await self._next(None)
            if not isinstance(started, dict) or started.get("type") != "started":
                raise ServerUnavailableError("the server did not say that the terminal has started")
        except BaseException:
            await self._socket.close()
            raise
        self.id, self.pid = started["id"], started["pid"]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self.exit is None and self._socket is not None:
                await self._hang_up()
        finally:
            await self.detach()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes that the program wrote. See ``read``."""
        if data := await self.read():
            return data
        raise StopAsyncIteration

    async def read(self, timeout: float | None = None) -> bytes:
        """The next bytes that the program wrote; none when it has ended.

        Raises:
            SandboxTimeoutError: it wrote nothing for ``timeout`` seconds.
            ServerUnavailableError: the connection was lost; the program goes on, ``id`` finds it again.

        Example:
            ```python
            async with sandbox.terminal(command="cat") as terminal:
                await terminal.write("hello\\n")
                assert b"hello" in await terminal.read(timeout=10)
            ```
        """
        while self.exit is None:
            message = await self._next(timeout)
            if isinstance(message, bytes):
                if message:
                    return message
            elif message["type"] == "exit":
                self.exit = CommandExit._of(message)
        return b""

    async def write(self, data: str | bytes) -> None:
        """Type. A line ends with ``\\n``; ``\\x03`` is Ctrl-C.

        Raises:
            ServerUnavailableError: the connection was lost, or the program has ended.
        """
        await self._send(data.encode() if isinstance(data, str) else data)

    async def resize(self, rows: int, cols: int) -> None:
        """Tell the program that its window has another size.

        Example:
            ```python
            async with sandbox.terminal(24, 80) as terminal:
                await terminal.resize(50, 120)
                await terminal.write("stty size; exit\\n")
                shown = b""
                async for data in terminal:
                    shown += data
            assert b"50 120" in shown
            ```
        """
        await self._send(json.dumps({"type": "resize", "rows": rows, "cols": cols}))

    async def wait(self) -> int:
        """Let the program run to its end, without looking at what it writes; returns its exit code.

        Example:
            ```python
            async with sandbox.terminal(command="sh -c 'exit 3'") as terminal:
                assert await terminal.wait() == 3
            ```
        """
        while self.exit is None:
            await self.read()
        return self.exit.exit_code

    async def detach(self) -> None:
        """Close the connection and leave the program running.

        ``sandbox.terminal(command_id=terminal.id)`` comes back to it.
        """
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def _hang_up(self) -> None:
        path = _wire.path("sandboxes", self._sandbox_id, "commands", str(self.id), "signal")
        try:
            await self._api.request("POST", path, json={"signal": "HUP", "group": True})
        except (NotFoundError, SandboxGoneError):
            return

    async def _send(self, data: str | bytes) -> None:
        if self._socket is None:
            raise ServerUnavailableError("the terminal is not connected")
        await self._socket.send(data)

    async def _next(self, timeout: float | None) -> bytes | dict[str, Any]:
        if self._socket is None:
            raise ServerUnavailableError("the terminal is not connected")
        message = await self._socket.receive(timeout)
        if isinstance(message, bytes):
            return message
        if message is None:
            raise ServerUnavailableError(
                f"the connection to terminal {self.id} was lost; the program goes on"
            )
        event = json.loads(message)
        if not isinstance(event, dict) or "type" not in event:
            raise SandboxError("the server sent a message that is not an event")
        if event["type"] == "error":
            raise from_body(event["error"])
        return event
