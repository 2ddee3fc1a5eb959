"""Sandlot: a self-hosted sandbox cloud for AI agents.

The client's names are loaded when they are first used: ``import sandlot`` costs nothing, and the server,
which lives in the same package, does not carry its own client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sdk import (
        AsyncCommand,
        AsyncSandbox,
        AsyncServer,
        AsyncSnapshot,
        AsyncTerminal,
        AuthenticationError,
        CodeContext,
        Command,
        CommandError,
        CommandExit,
        CommandInfo,
        CommandResult,
        ConflictError,
        Event,
        Execution,
        ExecutionError,
        FileInfo,
        ForkError,
        GuestError,
        HookError,
        Hooks,
        InvalidArgumentError,
        LimitError,
        Logs,
        Metrics,
        NotEnoughSpaceError,
        NotFoundError,
        Output,
        PermissionDeniedError,
        Result,
        Sandbox,
        SandboxError,
        SandboxGoneError,
        SandboxInfo,
        SandboxPausedError,
        SandboxTimeoutError,
        Server,
        ServerUnavailableError,
        Snapshot,
        SnapshotInfo,
        Template,
        Terminal,
        TierUnavailableError,
        TooLargeError,
        UnsafeArchiveError,
        WatchEvent,
    )

__version__ = "0.1.0"

__all__ = [
    "AsyncCommand",
    "AsyncSandbox",
    "AsyncServer",
    "AsyncSnapshot",
    "AsyncTerminal",
    "AuthenticationError",
    "CodeContext",
    "Command",
    "CommandError",
    "CommandExit",
    "CommandInfo",
    "CommandResult",
    "ConflictError",
    "Event",
    "Execution",
    "ExecutionError",
    "FileInfo",
    "ForkError",
    "GuestError",
    "HookError",
    "Hooks",
    "InvalidArgumentError",
    "LimitError",
    "Logs",
    "Metrics",
    "NotEnoughSpaceError",
    "NotFoundError",
    "Output",
    "PermissionDeniedError",
    "Result",
    "Sandbox",
    "SandboxError",
    "SandboxGoneError",
    "SandboxInfo",
    "SandboxPausedError",
    "SandboxTimeoutError",
    "Server",
    "ServerUnavailableError",
    "Snapshot",
    "SnapshotInfo",
    "Template",
    "Terminal",
    "TierUnavailableError",
    "TooLargeError",
    "UnsafeArchiveError",
    "WatchEvent",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import sdk

    value: object = getattr(sdk, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
