"""Making one hot sandbox, and ending one."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from sandlot.core.drafting import drafted, spec_of
from sandlot.core.hooks import HookRunner
from sandlot.core.interpreter import KERNEL_TAG
from sandlot.core.limits import Limits, settle
from sandlot.core.live import LiveSandbox
from sandlot.core.model import CreateSandbox
from sandlot.core.pools.hot import UNMEASURED_MIB, Hot
from sandlot.errors import DeadlineExceeded, NotFound
from sandlot.images import Template
from sandlot.node import Node
from sandlot.node.agent import SpawnSpec
from sandlot.store import Tenant

_PRIMED_S: Final = 10.0
_NOBODY: Final = Tenant("")
_MIB: Final = 1024 * 1024


class Maker:
    """A hot sandbox is what a request gets that names its template and nothing else."""

    def __init__(self, node: Node, limits: Limits, hooks: HookRunner) -> None:
        self._node = node
        self._limits = limits
        self._hooks = hooks

    async def make(self, template: Template) -> Hot:
        """It runs, with what its template starts, and its interpreter where it has one. Nothing of it is left
        where this raises: as ``Node.create`` and ``HookRunner.booted`` do, and DeadlineExceeded.
        """
        request = CreateSandbox(template=template.name, timeout_s=None)
        sandbox = drafted(request, settle(request, self._limits), template, _NOBODY)
        structlog.contextvars.bind_contextvars(sandbox=sandbox.id)
        try:
            async with asyncio.timeout(self._limits.create_timeout_s):
                live = LiveSandbox(sandbox, await self._node.create(spec_of(sandbox, template)))
                if "python" in sandbox.guest.kernels:
                    await live.interpreter.warm()
                await self._hooks.booted(live)
                await _prime(live)
        except TimeoutError as error:
            await self._node.destroy(sandbox.id)
            raise DeadlineExceeded("a hot sandbox did not start in time") from error
        except BaseException:
            await self._node.destroy(sandbox.id)
            raise
        return Hot(live, template)

    async def end(self, hot: Hot) -> None:
        await hot.live.close()
        await self._node.destroy(hot.id)

    async def measure(self, hots: list[Hot]) -> None:
        """Note what each holds. Wakes none."""
        found = await asyncio.to_thread(self._node.usage, [hot.id for hot in hots])
        for hot in hots:
            if (usage := found.get(hot.id)) is not None:
                hot.memory_mib = max(1, usage.memory_bytes // _MIB)


async def _prime(live: LiveSandbox) -> None:
    """Run what most first commands begin with, so that their user finds it loaded. It leaves nothing."""
    for shell in ("/bin/bash", "/bin/sh"):
        spec = SpawnSpec(
            args=[shell, "-l", "-c", ":"],
            env=dict(live.sandbox.guest.env),
            user=live.default_user,
            timeout=_PRIMED_S,
            tag=f"{KERNEL_TAG}first",  # lists of commands leave it out
        )
        try:
            process = await live.agent.spawn(spec)
        except NotFound:
            continue
        async for _ in process:
            pass
        await process.close()
        return


def fits(request: CreateSandbox, template: Template, limits: Limits) -> bool:
    """Whether a hot sandbox can become what is asked for: everything else it is given when it is taken."""
    if request.snapshot is not None or request.hostname is not None or request.internet is False:
        return False
    if request.hooks.on_create is not None or request.hooks.ready is not None:
        return False
    if request.env and template.config.start is not None:
        return False  # what runs already would not have them
    return settle(request, limits) == settle(CreateSandbox(), limits)


def expected_mib(hots: list[Hot]) -> int:
    """What one more would hold."""
    return max((hot.memory_mib for hot in hots), default=UNMEASURED_MIB)
