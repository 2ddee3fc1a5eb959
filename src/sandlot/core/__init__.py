"""What a sandbox is, and the engine that every door calls."""

from sandlot.core.census import Census, TenantCount
from sandlot.core.engine import Engine
from sandlot.core.lifecycle import State
from sandlot.core.limits import Limits
from sandlot.core.live import LiveSandbox
from sandlot.core.model import (
    CreateSandbox,
    CreateSnapshot,
    Event,
    Fork,
    GuestConfig,
    Hooks,
    ListQuery,
    Metrics,
    Page,
    Sandbox,
    Snapshot,
    StartCommand,
    TenantStatus,
)
from sandlot.core.tenancy import TenantEngine

__all__ = [
    "Census",
    "CreateSandbox",
    "CreateSnapshot",
    "Engine",
    "Event",
    "Fork",
    "GuestConfig",
    "Hooks",
    "Limits",
    "ListQuery",
    "LiveSandbox",
    "Metrics",
    "Page",
    "Sandbox",
    "Snapshot",
    "StartCommand",
    "State",
    "TenantCount",
    "TenantEngine",
    "TenantStatus",
]
