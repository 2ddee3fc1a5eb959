"""The Python client. ``Sandbox`` blocks, ``AsyncSandbox`` does not; otherwise they are the same.

Names are loaded when they are first used, so that a program pays only for the kind of client it imports.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._async.commands import AsyncCommand
    from ._async.sandbox import AsyncSandbox
    from ._async.server import AsyncServer
    from ._async.snapshots import AsyncSnapshot
    from ._async.terminal import AsyncTerminal
    from ._errors import (
        AuthenticationError,
        CommandError,
        ConflictError,
        ForkError,
        GuestError,
        HookError,
        InvalidArgumentError,
        LimitError,
        NotEnoughSpaceError,
        NotFoundError,
        PermissionDeniedError,
        SandboxError,
        SandboxGoneError,
        SandboxPausedError,
        SandboxTimeoutError,
        ServerUnavailableError,
        TierUnavailableError,
        TooLargeError,
        UnsafeArchiveError,
    )
    from ._execution import Execution, ExecutionError, Logs, Result
    from ._models import (
        CodeContext,
        CommandExit,
        CommandInfo,
        CommandResult,
        Event,
        FileInfo,
        Hooks,
        Metrics,
        Output,
        SandboxInfo,
        SnapshotInfo,
        Template,
        WatchEvent,
    )
    from ._sync.commands import Command
    from ._sync.sandbox import Sandbox
    from ._sync.server import Server
    from ._sync.snapshots import Snapshot
    from ._sync.terminal import Terminal

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
]

_HOMES = {
    "AsyncCommand": "_async.commands",
    "AsyncSandbox": "_async.sandbox",
    "AsyncServer": "_async.server",
    "AsyncSnapshot": "_async.snapshots",
    "AsyncTerminal": "_async.terminal",
    "Command": "_sync.commands",
    "Sandbox": "_sync.sandbox",
    "Server": "_sync.server",
    "Snapshot": "_sync.snapshots",
    "Terminal": "_sync.terminal",
    **dict.fromkeys(("Execution", "ExecutionError", "Logs", "Result"), "_execution"),
    **dict.fromkeys(
        (
            "CodeContext",
            "CommandExit",
            "CommandInfo",
            "CommandResult",
            "Event",
            "FileInfo",
            "Hooks",
            "Metrics",
            "Output",
            "SandboxInfo",
            "SnapshotInfo",
            "Template",
            "WatchEvent",
        ),
        "_models",
    ),
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # What is in no other module is an error.
    module = import_module(f".{_HOMES.get(name, '_errors')}", __name__)
    value: object = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
