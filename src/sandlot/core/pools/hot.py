"""A sandbox that runs and is nobody's yet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sandlot.core.live import LiveSandbox
from sandlot.images import Template

UNMEASURED_MIB = 32


@dataclass(eq=False, slots=True)
class Hot:
    """``watch`` waits for its death, for as long as it is in the pool."""

    live: LiveSandbox
    template: Template
    memory_mib: int = UNMEASURED_MIB
    watch: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self.live.id
