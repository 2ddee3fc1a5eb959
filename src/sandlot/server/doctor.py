"""What this machine can do, found without a running server."""

from __future__ import annotations

import dataclasses
from typing import Any

from sandlot.node.host import probe_host
from sandlot.server.settings import Settings


async def host_report(settings: Settings) -> dict[str, Any]:
    """The same as ``GET /v1/host`` of a server with these settings."""
    return dataclasses.asdict(await probe_host(settings.node()))
