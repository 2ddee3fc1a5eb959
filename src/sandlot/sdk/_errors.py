"""What can go wrong, for people who use the SDK.

Every class but the last three mirrors a code of the server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ._async.sandbox import AsyncSandbox
    from ._models import CommandResult
    from ._sync.sandbox import Sandbox


class SandboxError(Exception):
    """Base of every error that the SDK raises.

    ``message`` says what was wrong and what would be right; ``code`` is the server's word for the kind of
    error, ``status`` the HTTP status (0 where no server answered), ``details`` what else the server said.
    """

    code: str = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int = 0,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.status = status
        self.details = dict(details or {})


class InvalidArgumentError(SandboxError):
    """A value that can never be accepted."""

    code = "invalid_argument"


class AuthenticationError(SandboxError):
    """No API key, or one that the server does not know."""

    code = "unauthenticated"


class PermissionDeniedError(SandboxError):
    """The key, or the user inside the sandbox, may not do this."""

    code = "permission_denied"


class NotFoundError(SandboxError):
    """The sandbox, command, context, template or path does not exist."""

    code = "not_found"


class ConflictError(SandboxError):
    """The thing exists, but not in a state that allows this."""

    code = "conflict"


class SandboxPausedError(ConflictError):
    """The sandbox is paused, and does not wake by itself; ``resume`` wakes it."""

    code = "sandbox_paused"


class HookError(ConflictError):
    """A hook, or the template's start command, did not succeed, and there is no sandbox.

    ``details`` say which ``hook``, its ``exit_code``, None where it did not end in time, and its ``output``.
    """

    code = "hook_failed"


class SandboxGoneError(SandboxError):
    """The sandbox has ended; the message says why, ``details`` carry its state and reason."""

    code = "sandbox_gone"


class TierUnavailableError(SandboxError):
    """The server's host cannot run the isolation tier asked for. There is never a silent downgrade."""

    code = "tier_unavailable"


class TooLargeError(SandboxError):
    """More was sent than the server accepts in one request."""

    code = "too_large"


class LimitError(SandboxError):
    """A limit is used up; the message says which and whose.

    ``limit`` is its name. ``scope`` is ``"tenant"`` where it is a quota of your key's tenant, ``"server"``
    where the machine is full. ``retry_after`` is in seconds. Each is None where it is not known.
    """

    code = "limit_exceeded"

    def __init__(self, message: str, *, retry_after: float | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.retry_after = retry_after

    @property
    def limit(self) -> str | None:
        return self.details.get("limit")

    @property
    def scope(self) -> str | None:
        return self.details.get("scope")


class ServerUnavailableError(SandboxError):
    """No server answers, or it says "not now". ``retry_after`` is in seconds, where it is known."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after: float | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.retry_after = retry_after


class SandboxTimeoutError(SandboxError, TimeoutError):
    """A wait reached its deadline. It is a ``TimeoutError`` too."""

    code = "deadline_exceeded"


class NotEnoughSpaceError(SandboxError):
    """The disk of the sandbox or of the server is full; the message says which."""

    code = "not_enough_space"


class GuestError(SandboxError):
    """The inside of the sandbox answered something that is not an answer.

    Other sandboxes are not affected.
    """

    code = "guest_error"


class UnsafeArchiveError(SandboxError):
    """A downloaded folder held entries that must not be written here; ``refused`` names them.

    Everything else in the folder has been written.
    """

    code = "unsafe_archive"

    def __init__(self, message: str, *, refused: list[str]) -> None:
        super().__init__(message)
        self.refused = refused


class CommandError(SandboxError):
    """A command run with ``check=True`` did not exit with 0. ``result`` is its ``CommandResult``."""

    code = "command_failed"

    def __init__(self, message: str, result: CommandResult) -> None:
        super().__init__(message)
        self.result = result


class ForkError(SandboxError):
    """Some forks were made and others not. ``sandboxes`` are those that were: they run, use or kill them.

    ``errors`` says of each of the others why there is none.
    """

    code = "fork_incomplete"

    def __init__(
        self, message: str, *, sandboxes: Sequence[Sandbox | AsyncSandbox], errors: Sequence[SandboxError]
    ) -> None:
        super().__init__(message)
        self.sandboxes: list[Any] = list(sandboxes)
        self.errors = list(errors)


_WITH_RETRY_AFTER = (LimitError, ServerUnavailableError)
_MIRRORED: tuple[type[SandboxError], ...] = (
    InvalidArgumentError,
    AuthenticationError,
    PermissionDeniedError,
    NotFoundError,
    ConflictError,
    SandboxPausedError,
    HookError,
    SandboxGoneError,
    TierUnavailableError,
    TooLargeError,
    LimitError,
    ServerUnavailableError,
    SandboxTimeoutError,
    NotEnoughSpaceError,
    GuestError,
)


class _Table:
    by_code: ClassVar[dict[str, type[SandboxError]]] = {cls.code: cls for cls in _MIRRORED}
    by_status: ClassVar[dict[int, type[SandboxError]]] = {
        400: InvalidArgumentError,
        401: AuthenticationError,
        403: PermissionDeniedError,
        404: NotFoundError,
        408: SandboxTimeoutError,
        409: ConflictError,
        410: SandboxGoneError,
        413: TooLargeError,
        422: InvalidArgumentError,
        429: LimitError,
        503: ServerUnavailableError,
        504: SandboxTimeoutError,
        507: NotEnoughSpaceError,
    }


HOW_TO_GET_A_KEY = (
    "make one with `sandlot keys create NAME` on the server's machine, then set SANDLOT_API_KEY "
    "or pass api_key=..."
)


def from_body(error: Mapping[str, Any], *, status: int = 0, retry_after: float | None = None) -> SandboxError:
    """The exception for an error object of the server: ``{"code", "message", "details"}``."""
    code = str(error.get("code", "internal"))
    message = str(error.get("message", code))
    details = error.get("details")
    cls = _Table.by_code.get(code) or _Table.by_status.get(status, SandboxError)
    if cls is AuthenticationError and "keys create" not in message:
        message = f"{message.rstrip('.')}: {HOW_TO_GET_A_KEY}"
    options: dict[str, Any] = {"code": code, "status": status}
    if isinstance(details, Mapping):
        options["details"] = details
    if issubclass(cls, _WITH_RETRY_AFTER):
        options["retry_after"] = retry_after
    return cls(message, **options)


def from_response(url: str, status: int, content: bytes, headers: Mapping[str, str]) -> SandboxError:
    """The exception for an answer that is not a success."""
    retry_after = seconds(headers.get("Retry-After"))
    try:
        error = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        error = None
    if isinstance(error, Mapping):
        return from_body(error, status=status, retry_after=retry_after)
    message = f"{url} answered with HTTP status {status} and not in Sandlot's words; is it a Sandlot server?"
    return from_body({"code": "", "message": message}, status=status, retry_after=retry_after)


def seconds(value: str | None) -> float | None:
    """A Retry-After header in seconds; None for its other form, a date, which Sandlot does not send."""
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None


def unreachable(url: str, cause: Exception) -> ServerUnavailableError:
    """Nothing took the connection."""
    reason = f" ({cause})" if str(cause) else ""
    return ServerUnavailableError(
        f"no Sandlot server answers at {url}: start one with `sandlot serve`, or set SANDLOT_URL{reason}"
    )
