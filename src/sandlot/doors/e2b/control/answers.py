"""A sandbox, as the vendor's clients read it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Final

from sandlot.core.lifecycle import State
from sandlot.core.model import Sandbox
from sandlot.core.tokens import Purpose
from sandlot.doors.e2b.control.names import alias_of
from sandlot.doors.e2b.door import Door

ENVD_VERSION: Final = "0.6.7"
"""Clients offer what the envd of this version can do: octet streams, metadata of files, closing of stdin."""
CLIENT_ID: Final = "sandlot"
"""Older clients write it behind the sandbox's id, with a dash between."""
_NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Clients insist on an end; here a sandbox may have none."""


PAUSED: Final = frozenset({State.PAUSING, State.PAUSED, State.RESUMING})


def paused(sandbox: Sandbox) -> bool:
    """As these clients see it, who know of no state between."""
    return sandbox.state in PAUSED


def opened(sandbox: Sandbox, door: Door) -> dict[str, Any]:
    """For who has made it or connects to it: with the tokens that open it."""
    return {
        "templateID": sandbox.template,
        "sandboxID": sandbox.id,
        "clientID": CLIENT_ID,
        "alias": alias_of(sandbox.template),
        "envdVersion": ENVD_VERSION,
        "domain": door.domain,
        **_agent_token(sandbox, door),
        **_ingress_token(sandbox, door),
    }


def listed(sandbox: Sandbox) -> dict[str, Any]:
    """One line of a list."""
    return {
        "templateID": sandbox.template,
        "sandboxID": sandbox.id,
        "clientID": CLIENT_ID,
        "alias": alias_of(sandbox.template),
        # Lists are in the order of creation, and who reads them expects that order of this moment.
        "startedAt": instant(sandbox.created_at),
        "endAt": instant(_end_of(sandbox)),
        "cpuCount": cpu_count(sandbox.cpus),
        "memoryMB": sandbox.memory_mib,
        "diskSizeMB": sandbox.disk_mib,
        "metadata": dict(sandbox.metadata),
        "state": "paused" if paused(sandbox) else "running",
        "envdVersion": ENVD_VERSION,
        "volumeMounts": [],
    }


def detailed(sandbox: Sandbox, door: Door) -> dict[str, Any]:
    """All that there is to know of one."""
    return {
        **listed(sandbox),
        "domain": door.domain,
        "allowInternetAccess": sandbox.internet,
        "network": {"allowPublicTraffic": sandbox.ingress == "public"},
        "lifecycle": {"onTimeout": sandbox.on_timeout, "autoResume": sandbox.auto_resume},
        **_pause_mode(sandbox),
        **_agent_token(sandbox, door),
    }


def cpu_count(cpus: float) -> int:
    """Whole ones: a sandbox with half a processor sees one."""
    return max(1, math.ceil(cpus))


def instant(moment: datetime) -> str:
    """RFC 3339 in UTC, always with a fraction, to milliseconds: JavaScript knows no finer."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _end_of(sandbox: Sandbox) -> datetime:
    """Of a paused one, when it was paused."""
    return (sandbox.paused_at if paused(sandbox) else None) or sandbox.deadline or _NEVER


def _pause_mode(sandbox: Sandbox) -> dict[str, str]:
    if sandbox.state is not State.PAUSED:
        return {}
    return {"pauseMode": "filesystem" if sandbox.depth == "files" else "full"}


def _agent_token(sandbox: Sandbox, door: Door) -> dict[str, str]:
    if not sandbox.secured:
        return {}
    return {"envdAccessToken": door.access.token(sandbox.id, Purpose.AGENT)}


def _ingress_token(sandbox: Sandbox, door: Door) -> dict[str, str]:
    if sandbox.ingress != "token":
        return {}
    return {"trafficAccessToken": door.access.token(sandbox.id, Purpose.INGRESS)}
