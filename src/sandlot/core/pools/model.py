"""How large pools may be, and what is told of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one template's pool: ``min`` stand ready whether anybody asks or not, never more than ``max``."""

    min: int = 0
    max: int = 8


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """``templates`` by name; a template that is not named there gets ``others`` once it is used."""

    others: Bounds = Bounds()
    templates: Mapping[str, Bounds] = field(default_factory=dict)

    def of(self, template: str) -> Bounds:
        return self.templates.get(template, self.others)


OFF = PoolSettings(Bounds(0, 0))
"""Nothing is made ahead."""


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """One template's pool now. ``wanted`` is what it is kept at; ``hits`` and ``misses`` count since the
    server started: creations that got a hot one, and those that would have fitted one but found none;
    ``unfit`` are those that asked for something else than a hot one is.
    """

    template: str
    template_id: str | None
    hot: int
    making: int
    wanted: int
    min: int
    max: int
    memory_bytes: int
    per_minute: float
    """Creations that asked for it, the recent ones counting most."""
    hits: int
    misses: int
    unfit: int
