"""What doors have in common where they map the engine's errors to their protocol's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, TypeVar

from sandlot.errors import SandlotError

T = TypeVar("T")

RETRY_AFTER_S: Final = 1
"""Where the error itself does not say."""


def mapped(error: SandlotError, table: Mapping[type[SandlotError], T], default: T) -> T:
    """What ``table`` has for the error's class, or for the nearest class above it."""
    return next((table[cls] for cls in type(error).__mro__ if cls in table), default)


def retry_after(error: SandlotError) -> str:
    """Whole seconds, by the header's own rules: the details have the fraction."""
    return str(math.ceil(error.details.get("retry_after_s", RETRY_AFTER_S)))
