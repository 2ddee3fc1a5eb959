"""What the interpreter asks of a guest agent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from sandlot.node.agent import Exit, Output, ProcessInfo, SpawnSpec


class KernelProcess(Protocol):
    """Yields Output and finally one Exit; ``__anext__`` may be cancelled without losing anything."""

    id: int

    def __aiter__(self) -> AsyncIterator[Output | Exit]: ...
    async def __anext__(self) -> Output | Exit: ...
    def let_sleep(self, may: bool, /) -> None: ...
    async def close(self) -> None: ...


class Spawner(Protocol):
    """The part of ``GuestAgent`` that kernels need, with its errors."""

    async def spawn(self, spec: SpawnSpec, /) -> KernelProcess: ...
    async def attach(
        self, process_id: int, /, *, stdout_from: int | None = None, stderr_from: int | None = None
    ) -> KernelProcess: ...
    async def processes(self) -> Sequence[ProcessInfo]: ...
    async def write_stdin(self, process_id: int, data: bytes, /) -> None: ...
    async def signal(self, process_id: int, signum: int, /, *, group: bool = True) -> None: ...
