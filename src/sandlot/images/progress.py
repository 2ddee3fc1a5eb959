"""What a build says about itself while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """``stage`` names the layer; ``fraction`` is of the step at work, from 0 to 1, or None when unknown."""

    stage: str
    message: str
    fraction: float | None = None


Report = Callable[[Progress], None]
