"""How long the host goes on with a guest agent that hangs up, or does not keep to its protocol.

Our own agent does neither: it was replaced by a program of the guest's, which must not make the host dial
without end. Who only hangs up, as every checkpoint does, is dialled again, later and later.
"""

from __future__ import annotations

MAX_BREACHES = 8
SOUND_S = 60.0
"""A connection that lasted so long makes up for the breaches before it."""
_SHORT_S = 1.0
_PAUSES_S = (0.02, 1.0)


class Patience:
    """Of one sandbox."""

    def __init__(self) -> None:
        self._breaches = 0
        self._pause_s = 0.0

    def lost(self, lasted_s: float, breach: str | None) -> float | None:
        """A connection has ended, by a ``breach`` or without one. Seconds until the next; None: no more."""
        if lasted_s >= SOUND_S:
            self._breaches = 0
        self._breaches += breach is not None
        if self._breaches > MAX_BREACHES:
            return None
        shortest, longest = _PAUSES_S
        brief = lasted_s < _SHORT_S or breach is not None
        self._pause_s = min(longest, max(shortest, self._pause_s * 2)) if brief else 0.0
        return self._pause_s
