"""Forks: several sandboxes from one that goes on, with its memory, processes and files."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from sandlot.errors import SandlotError
from sandlot.node.copying import Capture, Copying
from sandlot.node.making import to_end
from sandlot.node.model import SandboxSpec
from sandlot.node.sandbox import NodeSandbox

_AT_ONCE = 4

Enter = Callable[[SandboxSpec, Callable[[], Awaitable[NodeSandbox]]], Awaitable[NodeSandbox]]
"""Makes a sandbox under its id, and cleans up where that fails."""
Turn = Callable[[str], AbstractAsyncContextManager[None]]


class Forking:
    """``folder`` is for captures, each of which is gone once its copies are made."""

    def __init__(self, folder: Path, copying: Copying, turn: Turn, enter: Enter) -> None:
        self._folder = folder
        self._copying = copying
        self._turn = turn
        self._enter = enter

    async def fork(
        self, id: str, specs: Sequence[SandboxSpec], destroy: Callable[[str], Awaitable[None]]
    ) -> list[NodeSandbox | SandlotError]:
        """See ``Node.fork``. Where it is cancelled none stays: ``destroy`` ends those that were made."""
        folder = self._folder / secrets.token_hex(8)
        made: list[str] = []
        try:
            async with self._turn(id):
                capture = await self._copying.capture(id, folder, "is being copied", memory=True)
            room = asyncio.Semaphore(_AT_ONCE)
            async with asyncio.TaskGroup() as group:
                making = [group.create_task(self._child(capture, spec, room, made)) for spec in specs]
            return [task.result() for task in making]
        except BaseException:
            await to_end(_all(destroy, made))
            raise
        finally:
            await to_end(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    async def _child(
        self, capture: Capture, spec: SandboxSpec, room: asyncio.Semaphore, made: list[str]
    ) -> NodeSandbox | SandlotError:
        try:
            self._copying.check(capture.facts, spec, "a fork", memory=True)
            async with room:
                sandbox = await self._enter(spec, lambda: self._copying.make(capture, spec, memory=True))
        except SandlotError as error:
            return error
        made.append(spec.id)
        return sandbox


async def _all(destroy: Callable[[str], Awaitable[None]], ids: Sequence[str]) -> None:
    await asyncio.gather(*map(destroy, ids), return_exceptions=True)
