"""Paths as clients write them."""

from __future__ import annotations

from sandlot.errors import InvalidArgument


def given(path: str) -> str:
    """A leading ``~`` is the user's home, which is where relative paths begin in any case.

    Raises InvalidArgument for the home of somebody else (``~name``).
    """
    if not path.startswith("~"):
        return path
    name, _, rest = path[1:].partition("/")
    if name:
        raise InvalidArgument(f"path: ~ is the own home; for another's give its whole path, not ~{name[:64]}")
    return rest.lstrip("/") or "."
