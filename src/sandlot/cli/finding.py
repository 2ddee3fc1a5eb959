"""Arguments that name things: sandboxes by the beginning of their ids, variables, labels, lengths of time."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from sandlot.cli.failures import fail

if TYPE_CHECKING:
    from sandlot.sdk import Sandbox, SandboxInfo

ALL_STATES = ("creating", "running", "pausing", "paused", "resuming", "killing", "killed", "failed")
_WHOLE_ID = re.compile(r"sb[a-z2-7]{20}")
_SHOWN = 5


def find(id: str, *, ended: bool = False) -> Sandbox:
    """The sandbox whose id begins with ``id``; among those that have ended only where ``ended`` says so."""
    from sandlot.sdk import Sandbox

    return Sandbox.connect(find_id(id, ended=ended))


def find_id(id: str, *, ended: bool = False) -> str:
    """The same, of which no more than the id is wanted."""
    from sandlot.sdk import Sandbox

    if _WHOLE_ID.fullmatch(id):
        return id
    found = _beginning_with(id, Sandbox.list())
    if not found and ended:
        found = _beginning_with(id, Sandbox.list(state=ALL_STATES))
    if not found:
        fail(f"no sandbox has an id that begins with {id!r}; `sandlot ls` lists them")
    if len(found) > 1:
        more = ", …" if len(found) > _SHOWN else ""
        fail(f"{id!r} is the beginning of several ids: {', '.join(found[:_SHOWN])}{more}")
    return found[0]


def _beginning_with(prefix: str, sandboxes: Iterable[SandboxInfo]) -> list[str]:
    return [info.id for info in sandboxes if prefix and info.id.startswith(prefix)]


def variables(given: list[str] | None) -> dict[str, str]:
    """``NAME=VALUE``, or ``NAME`` for this shell's value."""
    found = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not name:
            raise typer.BadParameter(f"{text!r} should be NAME=VALUE")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def labelled(given: list[str] | None) -> dict[str, str]:
    """``KEY=VALUE``."""
    found = {}
    for text in given or []:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{text!r} should be KEY=VALUE")
        found[key] = value
    return found


def seconds(text: str) -> float | None:
    """A number of seconds, also as ``90s``, ``10m``, ``2h``, ``1d``; None for ``none``."""
    if text.lower() in ("none", "never"):
        return None
    matched = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not matched:
        raise typer.BadParameter(f"{text!r} should be seconds, such as 90, 10m or 2h, or none")
    return float(matched[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[matched[2]]
