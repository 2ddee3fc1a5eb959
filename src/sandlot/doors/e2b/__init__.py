"""E2B's protocol: its control plane, and at each sandbox's own address envd and the code interpreter."""

from __future__ import annotations

from sandlot.doors.e2b.addressing import Addressing
from sandlot.doors.e2b.door import Door
from sandlot.doors.e2b.services import services

__all__ = ["Addressing", "Door", "services"]
