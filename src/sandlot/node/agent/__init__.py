"""The client of the guest agent, which is PID 1 in every sandbox."""

from __future__ import annotations

from sandlot.node.agent.client import GuestAgent
from sandlot.node.agent.files import Watch
from sandlot.node.agent.model import (
    Exit,
    FileInfo,
    FileKind,
    GuestStats,
    Output,
    ProcessInfo,
    PtySize,
    SpawnSpec,
    TreeEntry,
    WatchEvent,
)
from sandlot.node.agent.port import PortStream
from sandlot.node.agent.process import Process

__all__ = [
    "Exit",
    "FileInfo",
    "FileKind",
    "GuestAgent",
    "GuestStats",
    "Output",
    "PortStream",
    "Process",
    "ProcessInfo",
    "PtySize",
    "SpawnSpec",
    "TreeEntry",
    "Watch",
    "WatchEvent",
]
