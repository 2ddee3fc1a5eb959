"""Commands that a shell is asked for and the guest agent can start without it.

A login shell, as E2B's clients ask for each time, first reads files. Those of our templates change nothing
where the PATH is the template's, so the agent does without as long as they are what they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from sandlot import images
from sandlot.core.plainline import plain_words

Shortcut = tuple[list[str], list[str]]
"""Words to execute in the shell's place, and pairs of what must hold for it: see docs/agent-protocol.md."""

_RECIPE = Path(images.__file__).parent / "recipes" / "base" / "files" / "etc"


def shortcut(args: Sequence[str], env: Mapping[str, str], home: str) -> Shortcut | None:
    """None where the shell in ``args`` may do more than execute, or is none. ``home`` is where its user is at
    home.
    """
    match args:
        case ["/bin/bash", "-c", line]:
            premises: list[str] = []
        case ["/bin/bash", "-l", "-c", line] if _is_kept(env, home):
            premises = _login_premises(home)
        case _:
            return None
    words = plain_words(line, env)
    return (words, premises) if words else None


def _is_kept(env: Mapping[str, str], home: str) -> bool:
    """Whether the template's /etc/profile leaves these variables as they are."""
    return f":{home}/.local/bin:" in f":{env.get('PATH', '')}:" and "file" not in env


def _login_premises(home: str) -> list[str]:
    return [
        "$HOME", home,
        "/etc/profile", _digest("profile"),
        "/etc/profile.d/*.sh", "",
        f"{home}/.bash_profile", "",
        f"{home}/.bash_login", "",
        f"{home}/.profile", _digest("skel/.profile"),
    ]  # fmt: skip


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((_RECIPE / name).read_bytes()).hexdigest()
