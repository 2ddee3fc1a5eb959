"""All contexts of one sandbox."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from sandlot.core.interpreter.events import CodeEvent, Context
from sandlot.core.interpreter.kernel import Kernel
from sandlot.core.interpreter.protocol import ContextSettings
from sandlot.core.interpreter.session import Limits, Session
from sandlot.core.interpreter.spawner import Spawner
from sandlot.core.limits import check_env
from sandlot.core.tasks import Tasks
from sandlot.errors import InvalidArgument, LimitExceeded, NotFound
from sandlot.node.agent import Waiting

KERNEL_TAG: Final = "kernel/"
"""The tag of a kernel's process begins with this: ``kernel/<language>/<context id>``."""

_DEFAULT: Final = "default-"
_ALIASES: Final = {"py": "python", "js": "javascript", "ts": "typescript", "sh": "bash"}
_TAG = re.compile(r"kernel/([a-z0-9+#-]{1,32})/([a-z0-9-]{1,64})")


def default_context(language: str) -> str:
    """The id of the context that a language has without anybody having made it."""
    return _DEFAULT + language


class Interpreter:
    """Runs code in contexts. A context is one kernel: one process, with variables of its own.

    Contexts run side by side; runs in one context take turns. Each language has a default context, made when
    it is first used. A listener that closes the iterator of :meth:`run` early interrupts the run.
    """

    def __init__(
        self,
        agent: Callable[[], Spawner],
        kernels: Mapping[str, Sequence[str]],
        *,
        template: str,
        user: str,
        cwd: str,
        env: Mapping[str, str],
        limits: Limits = Limits(),
    ) -> None:
        self._agent = agent
        self._kernels = kernels
        self._template = template
        self._user = user
        self._cwd = cwd
        self._env = env
        self._limits = limits
        self._sessions: dict[str, Session] = {}
        self._tasks = Tasks()

    async def run(
        self,
        code: str,
        *,
        context: str | None = None,
        language: str = "python",
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[CodeEvent, None]:
        """Run ``code`` in ``context``, or in the default context of ``language``, with ``env`` for this run.

        ``timeout`` (seconds) counts from the start of the run, and bounds the wait for its turn as well.

        Raises NotFound for an unknown context, InvalidArgument for a language that the template has no kernel
        for, LimitExceeded when too many runs wait, DeadlineExceeded when its turn does not come in time,
        GuestError when the kernel does not behave like one, Unavailable when the guest cannot be reached.
        What the code itself does wrong, running too long or too much output, is an ErrorEvent.
        """
        env = dict(env or {})
        check_env(env)
        self._check_code(code)
        if timeout is not None and not timeout > 0:
            raise InvalidArgument(f"timeout must be more than 0 seconds, not {timeout}")
        session = self._default(language) if context is None else self._session(context)
        async with aclosing(session.run(code, env, timeout)) as events:
            async for event in events:
                yield event

    async def warm(self, language: str = "python") -> None:
        """Start the default context of ``language``, so that the first run finds it ready."""
        await self._default(language).open()

    def adopt_env(self, env: Mapping[str, str]) -> None:
        """Variables that the sandbox was given after it began: kernels that run have them from their next run
        on, later ones from their start.
        """
        self._env = {**self._env, **env}
        for session in self._sessions.values():
            session.adopt_env(env)

    async def create_context(
        self, *, language: str = "python", cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> Context:
        """Raises InvalidArgument, LimitExceeded, NotFound when ``cwd`` does not exist."""
        env = dict(env or {})
        check_env(env)
        language = self._language(language)
        session = self._add(secrets.token_hex(8), language, ContextSettings(cwd or self._cwd, env))
        try:
            await session.open()
        except BaseException:
            self._sessions.pop(session.id, None)
            raise
        return session.context

    async def contexts(self) -> list[Context]:
        return [session.context for session in self._sessions.values()]

    async def remove_context(self, id: str) -> None:
        """End its kernel; runs in it end. Raises NotFound, Unavailable."""
        await self._session(id).remove()
        self._sessions.pop(id, None)

    async def restart(self, id: str) -> None:
        """Begin anew with no variables, under the same id; what runs is ended. Raises NotFound."""
        await self._session(id).restart()

    async def interrupt(self, id: str) -> None:
        """KeyboardInterrupt in what runs; variables stay. Nothing runs: nothing happens. Raises NotFound."""
        await self._session(id).interrupt()

    async def waiting(self) -> Waiting:
        """The processes of those kernels that only wait for a run, and have left nothing behind that goes on
        by itself.
        """
        answers = await asyncio.gather(*(session.waiting() for session in self._sessions.values()))
        told = [answer for answer in answers if answer is not None]
        return Waiting(
            [id for answer in told for id in answer.ids], [pid for answer in told for pid in answer.pids]
        )

    async def recover(self, *, interrupt: bool = True) -> None:
        """Take over the kernels that are in the sandbox already: an earlier server left them, or they came
        back with its memory. What they run has no listener any more: it is interrupted, or with ``interrupt``
        False goes on, and runs in its context wait for their turn as after any other.
        """
        for info in await self._agent().processes():
            tag = _TAG.fullmatch(info.tag)
            if tag is None or not info.running or tag[2] in self._sessions or tag[1] not in self._kernels:
                continue
            try:
                kernel = await Kernel.adopt(self._agent, info.id)
                session = self._add(tag[2], tag[1], ContextSettings(self._cwd, {}))
                await session.adopt(kernel, interrupt=interrupt)
            except (NotFound, LimitExceeded):
                continue  # it has just ended; or the guest itself made up more than there can be

    async def close(self) -> None:
        """Let go of the kernels; they go on in the sandbox, for another server to recover."""
        await self._tasks.close()
        for session in self._sessions.values():
            await session.detach()

    def _default(self, language: str) -> Session:
        language = self._language(language)
        id = default_context(language)
        return self._sessions.get(id) or self._add(id, language, ContextSettings(self._cwd, {}))

    def _session(self, id: str) -> Session:
        if (session := self._sessions.get(id)) is not None:
            return session
        if id.startswith(_DEFAULT) and id.removeprefix(_DEFAULT) in self._kernels:
            return self._default(id.removeprefix(_DEFAULT))
        raise NotFound(f"there is no context {id!r}")

    def _add(self, id: str, language: str, settings: ContextSettings) -> Session:
        if len(self._sessions) >= self._limits.contexts:
            raise LimitExceeded(
                f"the sandbox has {len(self._sessions)} contexts, which is its limit; remove one"
            )
        session = Session(id, language, settings, limits=self._limits, tasks=self._tasks, start=self._start)
        self._sessions[id] = session
        return session

    async def _start(self, session: Session) -> Kernel:
        return await Kernel.start(
            self._agent,
            self._kernels[session.language],
            user=self._user,
            env=self._env,
            settings=session.settings,
            tag=f"{KERNEL_TAG}{session.language}/{session.id}",
        )

    def _language(self, name: str) -> str:
        """The language of that name, in any case, or of that short name. Raises InvalidArgument."""
        language = name.lower()
        language = _ALIASES.get(language, language)
        if language in self._kernels:
            return language
        if not self._kernels:
            raise InvalidArgument(
                f"template {self._template!r} has no code interpreter; "
                "create the sandbox from 'code-interpreter'"
            )
        raise InvalidArgument(
            f"template {self._template!r} has no interpreter for {name[:64]!r}; "
            f"it has: {', '.join(sorted(self._kernels))}"
        )

    def _check_code(self, code: str) -> None:
        try:
            size = len(code.encode())
        except UnicodeEncodeError as error:
            raise InvalidArgument(f"code must be Unicode text: {error}") from None
        if size > self._limits.code_bytes:
            raise InvalidArgument(
                f"code may be at most {self._limits.code_bytes} bytes long, and this has {size}; "
                "write it to a file and import that"
            )
