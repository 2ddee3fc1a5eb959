"""Creations that carry a key: who asks again with the same one gets what the first has made."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Final

from sandlot.core.ledger import Ledger
from sandlot.core.model import CreateSandbox, Sandbox
from sandlot.core.tasks import Tasks
from sandlot.errors import Conflict, InvalidArgument, SandlotError, Unavailable
from sandlot.store import Tenant

_KEY: Final = re.compile(r"[!-~]{1,255}")


class KeyReused(Conflict):
    """The key of an earlier creation, with another request behind it."""

    code = "idempotency_request_mismatch"


@dataclass(frozen=True, slots=True)
class _Making:
    digest: str
    task: asyncio.Task[Sandbox | SandlotError]


class Repeats:
    """Also while the first is being made, and after a restart of the server. What has failed is made anew.

    A key is kept as long as the sandbox's history.
    """

    def __init__(self, ledger: Ledger, tasks: Tasks) -> None:
        self._ledger = ledger
        self._tasks = tasks
        self._making: dict[tuple[str, str], _Making] = {}

    async def create(
        self, request: CreateSandbox, tenant: Tenant, make: Callable[[CreateSandbox], Awaitable[Sandbox]]
    ) -> Sandbox:
        """What ``make`` gives, or gave the first time. It goes on where the caller goes away, who may come
        back for it.

        Raises what ``make`` raises, InvalidArgument, KeyReused.
        """
        key, digest = _checked(request), digest_of(request)
        name = tenant.name, key
        if (making := self._making.get(name)) is None:
            work = self._first(request, tenant, key, make)
            making = _Making(digest, self._tasks.spawn(work, name=f"create once for {tenant.name}"))
            self._making[name] = making
            making.task.add_done_callback(lambda _: self._making.pop(name, None))
        if making.digest != digest:
            raise _reused(key)
        try:
            outcome = await asyncio.shield(making.task)
        except asyncio.CancelledError:
            if making.task.cancelled():
                raise Unavailable("the server is stopping; ask its next start with the same key") from None
            raise
        if isinstance(outcome, SandlotError):
            raise outcome
        return outcome

    async def _first(
        self,
        request: CreateSandbox,
        tenant: Tenant,
        key: str,
        make: Callable[[CreateSandbox], Awaitable[Sandbox]],
    ) -> Sandbox | SandlotError:
        """Errors are given, not raised: a task that fails is told to whoever runs the server."""
        try:
            known = await self._ledger.made_with(tenant.name, key)
            if known is None:
                return await make(request)
        except SandlotError as error:
            return error
        return known if known.idempotency_digest == digest_of(request) else _reused(key)


def digest_of(request: CreateSandbox) -> str:
    """Alike for requests that ask for the same, whatever their keys."""
    plain = asdict(request) | {"idempotency_key": None}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


def _checked(request: CreateSandbox) -> str:
    key = request.idempotency_key or ""
    if not _KEY.fullmatch(key):
        raise InvalidArgument("an idempotency key is 1 to 255 printable characters of ASCII, without blanks")
    return key


def _reused(key: str) -> KeyReused:
    return KeyReused(
        f"the idempotency key {key!r} belongs to an earlier creation that asked for something else;"
        " take a new key for a new sandbox"
    )
