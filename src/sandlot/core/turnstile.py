"""One sandbox is paused, resumed, saved or copied by one at a time; who ends it waits for none of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sandlot.core.refusal import ended_meanwhile
from sandlot.core.tasks import Tasks
from sandlot.errors import Conflict, SandlotError, Unavailable
from sandlot.log_context import about

T = TypeVar("T")

MAX_WAITING: Final = 16
"""Of one sandbox. Requests that only want it awake wait together and count as one."""


@dataclass(slots=True)
class _Line:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    together: dict[str, asyncio.Task[Any]] = field(default_factory=dict)
    closed: bool = False


class Turnstile:
    """What is done to a sandbox as a whole is done in the order in which it was asked for.

    Whoever's turn it is must look anew at what the sandbox is by then: the one before may have paused it.
    """

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._lines: dict[str, _Line] = {}

    async def run(
        self, id: str, what: str, work: Callable[[], Coroutine[Any, Any, T]], *, together: bool = False
    ) -> T:
        """Do ``work`` when its turn comes, to its end, whether or not the caller is still there by then.

        All who ask for the same ``what`` ``together``, while one of them waits or has its turn, share its
        outcome.

        Raises what it raises, Conflict where too many wait, SandboxGone where the sandbox is ended meanwhile,
        and Unavailable where the server stops. ``work`` is cancelled then, and must leave nothing half-made.
        """
        line = self._lines.setdefault(id, _Line())
        if line.closed:
            raise ended_meanwhile(id)
        if together and (shared := line.together.get(what)) is not None:
            return await _outcome(shared, id, line)
        if len(line.tasks) > MAX_WAITING:
            raise Conflict(f"{MAX_WAITING} requests already wait to change sandbox {id}; wait for their end")
        task: asyncio.Task[T | _Refusal] = self._tasks.spawn(
            _in_turn(line, work), name=f"{what} {id}", context=about(id)
        )
        line.tasks.add(task)
        if together:
            line.together[what] = task
        task.add_done_callback(lambda _: self._leave(id, line, what, task))
        return await _outcome(task, id, line)

    async def close(self, id: str) -> None:
        """For whoever ends the sandbox: let nobody in any more, and stop who is in. Returns when all have
        left. Afterwards only its state keeps others away.
        """
        if (line := self._lines.get(id)) is None:
            return
        line.closed = True
        for task in line.tasks:
            task.cancel()
        if line.tasks:
            await asyncio.wait(list(line.tasks))
        self._lines.pop(id, None)

    def _leave(self, id: str, line: _Line, what: str, task: asyncio.Task[Any]) -> None:
        line.tasks.discard(task)
        if line.together.get(what) is task:
            del line.together[what]
        if not line.tasks and not line.closed and self._lines.get(id) is line:
            del self._lines[id]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An error that is given, not raised: a task that fails is told to whoever runs the server."""

    error: SandlotError


async def _in_turn(line: _Line, work: Callable[[], Coroutine[Any, Any, T]]) -> T | _Refusal:
    async with line.turn:
        try:
            return await work()
        except SandlotError as error:
            return _Refusal(error)


async def _outcome(task: asyncio.Task[T | _Refusal], id: str, line: _Line) -> T:
    try:
        outcome = await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
        raise ended_meanwhile(id) if line.closed else Unavailable("the server is stopping") from None
    if isinstance(outcome, _Refusal):
        raise outcome.error
    return outcome
