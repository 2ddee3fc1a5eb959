"""The client of the guest agent, which is PID 1 in every sandbox."""

from __future__ import annotations

from sandlot.node.agent.client import GuestAgent
from sandlot.node.agent.files import Watch
from sandlot.node.agent.link import FAULTS
from sandlot.node.agent.model import (
    Exit,
    FileInfo,
    FileKind,
    GuestActivity,
    GuestStats,
    Output,
    ProcessInfo,
    PtySize,
    Renewal,
    Renewed,
    SpawnSpec,
    TreeEntry,
    Waiting,
    WatchEvent,
)
from sandlot.node.agent.port import PortStream
from sandlot.node.agent.process import Process

__all__ = [
    "FAULTS",
    "Exit",
    "FileInfo",
    "FileKind",
    "GuestActivity",
    "GuestAgent",
    "GuestStats",
    "Output",
    "PortStream",
    "Process",
    "ProcessInfo",
    "PtySize",
    "Renewal",
    "Renewed",
    "SpawnSpec",
    "TreeEntry",
    "Waiting",
    "Watch",
    "WatchEvent",
]
