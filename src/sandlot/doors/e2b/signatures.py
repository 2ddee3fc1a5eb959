"""Signed file addresses: https://…/files?path=…&username=…&signature=v1_…&signature_expiration=…

The signature is SHA-256, in base64 without padding, of ``path:operation:user:token``, with ``:expiration``
behind it where there is one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sandlot.core.access import Access
from sandlot.errors import Unauthenticated

_OPERATIONS: Final = {"GET": "read", "HEAD": "read", "POST": "write"}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a request claims. ``expires_at`` is as it came, in seconds since 1970."""

    path: str
    operation: str
    user: str
    value: str
    expires_at: str | None

    def is_of(self, token: str) -> bool:
        """Whether the holder of this token signed it."""
        parts = [self.path, self.operation, self.user, token]
        if self.expires_at is not None:
            parts.append(self.expires_at)
        digest = hashlib.sha256(":".join(parts).encode(errors="surrogateescape")).digest()
        expected = "v1_" + base64.b64encode(digest).rstrip(b"=").decode()
        return hmac.compare_digest(expected.encode(), self.value.encode(errors="replace"))

    def check_time(self) -> None:
        """Raises Unauthenticated where its time is over."""
        if self.expires_at is None:
            return
        text = self.expires_at
        if not (text.isascii() and text.isdigit() and len(text) <= 12) or int(text) < time.time():
            raise Unauthenticated("the signature of this address has expired; make a new one")


def signature_of(method: str, query: Mapping[str, Sequence[str]]) -> Signature | None:
    """What a request to ``/files`` carries; None where it is not signed."""
    operation = _OPERATIONS.get(method)
    value = _one(query, "signature")
    if operation is None or value is None:
        return None
    return Signature(
        path=_one(query, "path") or "",
        operation=operation,
        user=_one(query, "username") or "",
        value=value.replace(" ", "+"),  # base64's plus sign, which not every client escapes
        expires_at=_one(query, "signature_expiration"),
    )


def sandbox_that_signed(access: Access, method: str, query: Mapping[str, Sequence[str]]) -> str | None:
    """The id of the running sandbox whose token made the signature: the address itself does not name it."""
    if (signature := signature_of(method, query)) is None:
        return None
    live = access.signed(signature.is_of)
    return None if live is None else live.id


def _one(query: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = query.get(name)
    return values[0] if values else None
