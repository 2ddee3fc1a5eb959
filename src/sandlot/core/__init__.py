"""What a sandbox is, and the engine that every door calls."""

from sandlot.core.census import Census, TenantCount
from sandlot.core.engine import Engine
from sandlot.core.lifecycle import State
from sandlot.core.limits import Limits
from sandlot.core.live import LiveSandbox
from sandlot.core.model import (
    CreateSandbox,
    Event,
    GuestConfig,
    ListQuery,
    Metrics,
    Page,
    Sandbox,
    StartCommand,
    TenantStatus,
)
from sandlot.core.tenancy import TenantEngine

__all__ = [
    "Census",
    "CreateSandbox",
    "Engine",
    "Event",
    "GuestConfig",
    "Limits",
    "ListQuery",
    "LiveSandbox",
    "Metrics",
    "Page",
    "Sandbox",
    "StartCommand",
    "State",
    "TenantCount",
    "TenantEngine",
    "TenantStatus",
]
