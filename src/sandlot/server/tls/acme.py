"""A certificate by ACME (RFC 8555), proved by a TXT record in the domain's DNS, as a wildcard needs it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from sandlot.errors import InvalidArgument
from sandlot.server.files import read
from sandlot.server.tls.identity import Identity
from sandlot.server.tls.sources import Own

_log = structlog.get_logger(__name__)
ORDER_S: Final = 900.0
RETRY_S: Final = 3600.0
"""Certificate authorities count failed orders, and shut out who goes on."""
FAREWELL_S: Final = 5.0


class Acme:
    """Until the first certificate has come, the server's own stands in for it."""

    def __init__(self, own: Own, directory: str, email: str | None, hook: Path) -> None:
        self.domain = own.domain
        self._own = own
        self._kept = own.folder / "acme.pem"
        self._order = {
            "directory": directory,
            "email": email,
            "hook": str(hook),
            "domain": own.domain,
            "folder": str(own.folder),
        }
        self._next_try = 0.0

    @classmethod
    def checked(cls, own: Own, directory: str, email: str | None, hook: Path) -> Acme:
        """Raises InvalidArgument."""
        if not directory.startswith("https://"):
            raise InvalidArgument(f"acme_directory: an https:// address is needed, not {directory!r}")
        if not os.access(hook, os.X_OK) or not hook.is_file():
            raise InvalidArgument(f"acme_dns_hook: {hook} is no program that can be run")
        return cls(own, directory, email, hook)

    def latest(self) -> Identity:
        return self._ordered() or self._own.latest()

    async def tend(self) -> None:
        """Order one where there is none or it will soon be over; after a failure not again for an hour."""
        identity = await asyncio.to_thread(self._ordered)
        if time.monotonic() < self._next_try or (identity is not None and not identity.is_due()):
            return
        self._next_try = time.monotonic() + RETRY_S
        _log.info("ordering a certificate", domain=self.domain, directory=self._order["directory"])
        failure = await _run(json.dumps(self._order).encode())
        if failure is not None:
            _log.error(
                "no certificate by ACME; the next try is in an hour", domain=self.domain, reason=failure
            )

    def _ordered(self) -> Identity | None:
        data = read(self._kept)
        if data is None:
            return None
        identity = Identity.of_file(data)
        try:
            identity.check(self.domain)
        except InvalidArgument:
            return None
        return identity


async def _run(order: bytes) -> str | None:
    """Order in a process of its own, which a server that stops can end; what went wrong, if anything."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sandlot.server.tls.order",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(ORDER_S):
            _, said = await child.communicate(order)
    except TimeoutError:
        return f"it was not there after {ORDER_S:g} s"
    finally:
        if child.returncode is None:
            await _end(child)
    lines = said.decode(errors="replace").strip().splitlines() or ["no reason given"]
    return None if child.returncode == 0 else lines[-1][:1000]


async def _end(child: asyncio.subprocess.Process) -> None:
    """It is given a moment to take its records out of the DNS."""
    child.terminate()
    with suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL_S):
            await child.wait()
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    await child.wait()
