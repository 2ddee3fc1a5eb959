"""Signed file addresses: https://…/files?path=…&username=…&signature=v1_…&signature_expiration=…

The signature is SHA-256, in base64 without padding, of ``path:operation:user:token``, with ``:expiration``
behind it where there is one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import Scope

from sandlot.core.access import Access
from sandlot.errors import Unauthenticated

_OPERATIONS: Final = {"GET": "read", "HEAD": "read", "POST": "write"}
MAX_FIELDS: Final = 100


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
            # Word for word what clients' own tests expect.
            raise Unauthenticated("signature is already expired")


def query_of(scope: Scope) -> dict[str, str]:
    """The first value of each parameter. Bytes that are not UTF-8 stay apart from each other, as surrogates,
    because a path may have them. A request with too many has none.
    """
    query: str = scope["query_string"].decode("latin-1")
    try:
        fields = parse_qsl(query, keep_blank_values=True, errors="surrogateescape", max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}
    return dict(reversed(fields))


def signature_of(method: str, query: Mapping[str, str]) -> Signature | None:
    """What a request to ``/files`` carries; None where it is not signed."""
    operation = _OPERATIONS.get(method)
    value = query.get("signature")
    if operation is None or value is None:
        return None
    return Signature(
        path=query.get("path", ""),
        operation=operation,
        user=query.get("username", ""),
        value=value.replace(" ", "+"),  # base64's plus sign, which not every client escapes
        expires_at=query.get("signature_expiration"),
    )


def sandbox_that_signed(access: Access, signature: Signature) -> str | None:
    """The id of the running sandbox whose token made the signature: the address itself does not name it."""
    live = access.signed(signature.is_of)
    return None if live is None else live.id
