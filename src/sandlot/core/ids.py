"""Names nobody can guess."""

from __future__ import annotations

import re
import secrets

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_SANDBOX_ID = re.compile(rf"sb[{_ALPHABET}]{{20}}")
_SNAPSHOT_ID = re.compile(rf"sn[{_ALPHABET}]{{20}}")


def new_sandbox_id() -> str:
    """100 random bits, usable as a DNS label (an ingress puts it into a host name)."""
    return "sb" + _random()


def is_sandbox_id(text: str) -> bool:
    return _SANDBOX_ID.fullmatch(text) is not None


def new_snapshot_id() -> str:
    return "sn" + _random()


def is_snapshot_id(text: str) -> bool:
    return _SNAPSHOT_ID.fullmatch(text) is not None


def _random() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(20))
