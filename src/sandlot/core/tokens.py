"""What opens one sandbox to somebody who holds no key."""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum
from typing import Final

_PREFIX: Final = b"sandlot token 1\0"


class Purpose(StrEnum):
    """Each has a token of its own, so that who may look at a web page cannot run commands."""

    AGENT = "agent"
    """Commands, files and code of the sandbox."""
    INGRESS = "ingress"
    """Its web ports, where these are not public."""


class AccessTokens:
    """Tokens follow from the server's secret and the sandbox's id: nothing is kept, and all end with it."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def of(self, sandbox_id: str, purpose: Purpose) -> str:
        """40 hexadecimal characters."""
        message = _PREFIX + f"{purpose}\0{sandbox_id}".encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:40]

    def check(self, sandbox_id: str, purpose: Purpose, token: str | None) -> bool:
        """Whether this is the token; in a time that tells nothing of it."""
        given = (token or "").encode(errors="replace")
        return hmac.compare_digest(self.of(sandbox_id, purpose).encode(), given)
