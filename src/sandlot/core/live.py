"""A sandbox that runs: what a door talks to once the engine has let it through."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from sandlot.core.interpreter import KERNEL_TAG, Interpreter
from sandlot.core.known import KnownCommand, KnownCommands
from sandlot.core.lifecycle import State
from sandlot.core.limits import check_env, check_range
from sandlot.core.model import Metrics, Sandbox, StartCommand
from sandlot.core.shortcut import shortcut
from sandlot.core.watchers import Watchers
from sandlot.errors import Conflict, InvalidArgument, NotFound, SandboxGone
from sandlot.node import NodeSandbox
from sandlot.node.agent import GuestAgent, Process, ProcessInfo, PtySize, SpawnSpec

_DEATH_IS_NOTICED_S = 2.0
_SHELLS = ("/bin/bash", "/bin/sh")
MAX_COMMAND_BYTES = 192 * 1024
MAX_ARGUMENT_BYTES = 128 * 1024 - 1
"""The kernel's own limit for one argument (MAX_ARG_STRLEN of Linux, less its NUL)."""
MAX_TAG_BYTES = 200
MAX_COMMAND_TIMEOUT_S = 30 * 24 * 3600.0


class LiveSandbox:
    """The running half of a sandbox: its agent, its commands, its interpreter.

    But for watchers it holds nothing that cannot be found again after a restart of the server: the guest
    agent keeps the processes and their output, and kernels carry their context's id in their tag.
    """

    def __init__(self, sandbox: Sandbox, node: NodeSandbox) -> None:
        self.sandbox = sandbox
        self.node = node
        self._shells = list(_SHELLS)
        self._known = KnownCommands()
        self.interpreter = Interpreter(
            lambda: self.agent,
            {language: list(command) for language, command in sandbox.guest.kernels.items()},
            template=sandbox.template,
            user=self.default_user,
            cwd=sandbox.guest.workdir,
            env=self._env({}),
        )
        node.heed(self.interpreter.waiting)
        self.watchers = Watchers(lambda: self.agent)
        self._asked_at = 0.0
        self._being_paused = False

    @property
    def id(self) -> str:
        return self.sandbox.id

    @property
    def agent(self) -> GuestAgent:
        """The guest agent, over whatever connection is up. Raises Unavailable while there is none."""
        try:
            return self.node.agent
        except NotFound as error:
            raise SandboxGone(error.message) from error

    @property
    def awake(self) -> bool:
        """Whether it runs, and nobody is about to pause it."""
        return self.sandbox.state is State.RUNNING and not self._being_paused

    @contextmanager
    def being_paused(self) -> Iterator[None]:
        """What is begun meanwhile has no chance."""
        self._being_paused = True
        try:
            yield
        finally:
            self._being_paused = False

    def become(self, sandbox: Sandbox) -> None:
        """It was nobody's and is this sandbox from now on, with variables of its own."""
        self.sandbox = sandbox
        self.interpreter.adopt_env(sandbox.env)

    def asked(self) -> None:
        """Somebody wants to talk to it."""
        self._asked_at = asyncio.get_running_loop().time()

    def idle_s(self) -> float:
        """How long it has had nothing to run, and nobody has asked for it."""
        if (since := self.node.idle_since) is None:
            return 0.0
        return asyncio.get_running_loop().time() - max(since, self._asked_at)

    @property
    def default_user(self) -> str:
        return self.sandbox.guest.user

    def path(self, path: str, user: str | None = None) -> str:
        """``path`` as the guest knows it: relative ones begin at the user's home.

        Raises InvalidArgument for an empty path and for NUL. It does not guard: the guest's own kernel does.
        """
        if not path or "\0" in path:
            raise InvalidArgument("path must not be empty and must not hold NUL")
        joined = posixpath.join(self._home(user or self.default_user), path)
        return "/" + "/".join(part for part in joined.split("/") if part not in ("", "."))

    async def start_command(self, request: StartCommand) -> Process:
        """Start a command and attach to its output.

        Raises NotFound (no such command or directory), InvalidArgument (no such user, a bad value).
        """
        if (request.command is None) == (request.args is None):
            raise InvalidArgument("give either command, a line for the shell, or args, a list of words")
        if request.command is None:
            return await self._spawn(request, list(request.args or []))
        for shell in list(self._shells):
            try:
                return await self._spawn(request, [shell, "-c", request.command])
            except NotFound:
                if not await self._lacks(shell):
                    raise
        raise NotFound(
            "this template has no shell (neither /bin/bash nor /bin/sh); give args instead of command"
        )

    async def commands(self) -> list[ProcessInfo]:
        """Commands that run, and the newest ones that ended. Interpreter kernels are not among them."""
        found = [info for info in await self.agent.processes() if not info.tag.startswith(KERNEL_TAG)]
        for info in found:
            self._known.add(KnownCommand(info.id, info.pid, info.pty))
        return found

    async def command(self, id: int) -> ProcessInfo:
        """Raises NotFound."""
        for info in await self.commands():
            if info.id == id:
                return info
        raise NotFound(f"sandbox {self.id} has no command {id}; it may have ended long ago")

    async def known(self, id: int) -> KnownCommand:
        """Raises NotFound where there never was one, or it was forgotten here and there."""
        if (command := self._known.by_id(id)) is not None:
            return command
        info = await self.command(id)
        return KnownCommand(info.id, info.pid, info.pty)

    def remembered(self, pid: int) -> KnownCommand | None:
        """The newest command with this number in the guest; None where only the guest could tell.

        It may have ended, and a process that is no command may have its number.
        """
        return self._known.by_pid(pid)

    async def close_stdin(self, id: int) -> None:
        """End a command's input. One that has ended has none left to end. Raises NotFound."""
        await self.known(id)
        with suppress(Conflict):
            await self.agent.close_stdin(id)

    async def noticed_death(self) -> str | None:
        """Why it ended; None where in a moment, in which one is noticed, it did not."""
        try:
            async with asyncio.timeout(_DEATH_IS_NOTICED_S):
                return await self.node.wait_dead()
        except TimeoutError:
            return None

    async def metrics(self) -> Metrics:
        stats = await self.node.stats()
        return Metrics(
            at=datetime.now(UTC),
            cpu_seconds=stats.cpu_seconds,
            memory_bytes=stats.memory_bytes,
            memory_limit_bytes=stats.memory_limit_bytes,
            disk_used_bytes=stats.disk_used_bytes,
            disk_limit_bytes=stats.disk_limit_bytes,
            rx_bytes=stats.rx_bytes,
            tx_bytes=stats.tx_bytes,
            processes=stats.processes,
        )

    async def close(self) -> None:
        """Let go of it; the sandbox itself goes on."""
        self.watchers.close()
        await self.interpreter.close()

    async def _spawn(self, request: StartCommand, args: list[str]) -> Process:
        user = request.user or self.default_user
        _check(request, args)
        env = self._env(request.env)
        words, premises = shortcut(args, env, self._home(user)) or (None, None)
        spec = SpawnSpec(
            args=args,
            words=words,
            premises=premises,
            env=env,
            cwd=self.path(request.cwd, user) if request.cwd else self._default_cwd(user),
            user=user,
            pty=PtySize(*request.terminal) if request.terminal else None,
            stdin=request.stdin or request.terminal is not None,
            timeout=request.timeout_s,
            tag=request.tag,
        )
        process = await self.agent.spawn(spec)
        self._known.add(KnownCommand(process.id, process.pid, spec.pty is not None))
        return process

    async def _lacks(self, shell: str) -> bool:
        try:
            await self.agent.stat(shell)
        except NotFound:
            self._shells = [other for other in self._shells if other != shell]
            return True
        return False

    def _env(self, extra: Mapping[str, str]) -> dict[str, str]:
        return {**self.sandbox.guest.env, **self.sandbox.env, **extra}

    def _home(self, user: str) -> str:
        if user == self.default_user:
            return self.sandbox.guest.workdir
        return "/root" if user in ("root", "0") else f"/home/{user}"

    def _default_cwd(self, user: str) -> str | None:
        return self.sandbox.guest.workdir if user == self.default_user else None


def _check(request: StartCommand, args: list[str]) -> None:
    if not args or not args[0]:
        raise InvalidArgument("the command is empty")
    if any("\0" in arg for arg in args):
        raise InvalidArgument("a command must not hold NUL")
    sizes = [_bytes(arg) for arg in args]
    if max(sizes) > MAX_ARGUMENT_BYTES or sum(sizes) > MAX_COMMAND_BYTES:
        raise InvalidArgument(
            f"a command may be at most {MAX_COMMAND_BYTES} bytes long, and each word of it"
            f" {MAX_ARGUMENT_BYTES}; write it to a file and run that, or send it as input"
        )
    if request.timeout_s is not None:
        check_range("timeout_s", request.timeout_s, 0.001, MAX_COMMAND_TIMEOUT_S)
    if request.tag.startswith(KERNEL_TAG) or _bytes(request.tag) > MAX_TAG_BYTES:
        raise InvalidArgument(
            f"tag may be at most {MAX_TAG_BYTES} bytes long and must not begin with {KERNEL_TAG!r}"
        )
    check_env(request.env)


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
