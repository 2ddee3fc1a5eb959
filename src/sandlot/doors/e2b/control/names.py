"""Where the vendor's names of templates meet ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_OURS: Final[Mapping[str, str]] = {
    "code-interpreter-v1": "code-interpreter",
    "code-interpreter-beta": "code-interpreter",
}
"""What the vendor's packages ask for where their user names none; ``base`` is called so on both sides."""
_ALIASES: Final[Mapping[str, str]] = {"code-interpreter": "code-interpreter-v1"}


def ours(template: str) -> str:
    """The template of ours that a client means."""
    return _OURS.get(template, template)


def snapshot_named(text: str) -> str:
    """The id or name of a snapshot of ours. A tag may stand behind it; here each has the default one."""
    return text.removesuffix(":default")


def alias_of(template: str) -> str:
    """What clients call a template of ours."""
    return _ALIASES.get(template, template)
