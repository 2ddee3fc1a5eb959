"""What hot sandboxes hold of the machine's memory, and for whom it counts as free."""

from __future__ import annotations

from collections.abc import Callable

from sandlot.core.pools.sizing import Memory


class HotMemory:
    """What hot sandboxes hold counts as free for everybody else: they are the first to go."""

    def __init__(self, available_mib: Callable[[], int] | None) -> None:
        """``available_mib``: of the machine; without it memory is no reason for anything."""
        self._available_mib = available_mib
        self.held_mib = 0
        self.ending_mib = 0
        """Of those that are being ended; it is in ``held_mib``, too."""

    def available_mib(self) -> int:
        """As if there were no hot ones."""
        return (self._available_mib() if self._available_mib else 0) + self.held_mib

    def to_spare(self, kept_mib: int) -> Memory | None:
        """None where memory is no reason."""
        if self._available_mib is None:
            return None
        return Memory(self._available_mib() + self.ending_mib, kept_mib)
