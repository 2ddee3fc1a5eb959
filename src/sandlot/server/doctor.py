"""What this machine can do and what is left on it, found without a running server."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from sandlot.errors import Conflict, PermissionDenied, SandlotError
from sandlot.node import Finding
from sandlot.node.host import probe_host
from sandlot.node.traces import Trace, find
from sandlot.server.lock import locked
from sandlot.server.settings import Settings

_SHOWN = 5


async def host_report(settings: Settings) -> dict[str, Any]:
    """The same as ``GET /v1/host`` of a server with these settings, with what crashes left on the machine."""
    report = await probe_host(settings.node())
    if os.geteuid() == 0:
        report = dataclasses.replace(report, findings=[*report.findings, _finding(leftovers(settings))])
    return dataclasses.asdict(report)


def leftovers(settings: Settings, only: str | None = None) -> list[Trace]:
    """What no running server and no running sandbox needs. Raises PermissionDenied."""
    if os.geteuid() != 0:
        raise PermissionDenied("only root sees and removes what a crash left: use sudo")
    return find(settings.data_dir, only)


def remove(settings: Settings, only: str | None = None) -> Iterator[tuple[Trace, str | None]]:
    """Remove it, one by one: each thing with why it could not be removed, or None where it is gone.

    Nobody can start a server of this data folder meanwhile.
    """
    with ExitStack() as stack:
        try:
            if settings.data_dir.is_dir():
                stack.enter_context(locked(settings.data_dir))
        except Conflict:
            pass  # its server runs, so that nothing of this instance is among them
        for trace in leftovers(settings, only):
            try:
                trace.remove()
            except (OSError, SandlotError) as error:
                yield trace, str(error)
            else:
                yield trace, None


def _finding(traces: list[Trace]) -> Finding:
    if not traces:
        return Finding("leftovers", True, "none of former servers")
    shown = "; ".join(str(trace) for trace in traces[:_SHOWN])
    more = f"; and {len(traces) - _SHOWN} more" if len(traces) > _SHOWN else ""
    return Finding("leftovers", False, f"{shown}{more}", "`sandlot doctor --fix` removes them")
