"""What can go wrong, in the engine's own words. A door maps each class to its protocol's shape."""

from __future__ import annotations

from typing import Any, ClassVar


class SandlotError(Exception):
    """Base of every error that a caller may see. ``message`` says what was wrong and what would be right."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidArgument(SandlotError):
    """A value that can never be accepted."""

    code = "invalid_argument"


class Unauthenticated(SandlotError):
    """No key, or a key that nobody holds."""

    code = "unauthenticated"


class PermissionDenied(SandlotError):
    """The caller, or the user inside the sandbox, may not do this."""

    code = "permission_denied"


class NotFound(SandlotError):
    """The thing named does not exist."""

    code = "not_found"


class Conflict(SandlotError):
    """The thing exists but not in a state that allows this."""

    code = "conflict"


class SandboxPaused(Conflict):
    """The sandbox is paused, and this does not wake it."""

    code = "sandbox_paused"


class SandboxGone(SandlotError):
    """The sandbox existed and has ended; ``details`` carry its state and the reason."""

    code = "sandbox_gone"


class TierUnavailable(SandlotError):
    """This host cannot run the isolation tier asked for. There is never a silent downgrade."""

    code = "tier_unavailable"


class LimitExceeded(SandlotError):
    """A limit is used up; the message says which and whose."""

    code = "limit_exceeded"


class Unavailable(SandlotError):
    """Not now: the server is starting, stopping, or has lost touch with the sandbox."""

    code = "unavailable"


class StandsStill(Unavailable):
    """The sandbox is paused: its agent answers nothing until somebody resumes it."""


class DeadlineExceeded(SandlotError):
    """A wait reached its deadline."""

    code = "deadline_exceeded"


class NotEnoughSpace(SandlotError):
    """The disk, of the sandbox or of the host, is full; the message says which."""

    code = "not_enough_space"


class GuestError(SandlotError):
    """The guest answered something that is not an answer. Only its own sandbox is affected."""

    code = "guest_error"
