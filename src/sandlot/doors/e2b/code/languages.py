"""The names that clients give to languages, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DEFAULT: Final = "python"
_ALIASES: Final[Mapping[str, str]] = {"js": "javascript", "ts": "typescript"}


def language_named(name: str | None) -> str:
    """Ours for what a client said; None is what it means by saying nothing."""
    name = (name or "").strip().lower()
    return _ALIASES.get(name, name) or DEFAULT
