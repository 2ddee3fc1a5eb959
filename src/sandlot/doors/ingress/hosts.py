"""Host names of ports: ``<port>-<sandbox id>.<domain>``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sandlot.core.ids import is_sandbox_id

_LABEL: Final = re.compile(r"([1-9][0-9]{0,4})-([a-z0-9]+)(?:-[a-z0-9]+)?")
"""Older clients of E2B put a second id behind the sandbox's, which says nothing here."""


@dataclass(frozen=True, slots=True)
class Address:
    """A port of a sandbox."""

    port: int
    sandbox_id: str


def parse_host(host: str, domain: str) -> Address | None:
    """The port that a ``Host`` header names; None where it names none in ``domain``.

    Either may carry a ``:port``, which is not looked at: what stands before the server may have another.
    """
    label, dot, rest = _name(host).partition(".")
    if not dot or rest != _name(domain):
        return None
    found = _LABEL.fullmatch(label)
    if found is None or int(found[1]) > 65535 or not is_sandbox_id(found[2]):
        return None
    return Address(int(found[1]), found[2])


def host_of(port: int, sandbox_id: str, domain: str) -> str:
    """The host name of a port, with the ``:port`` of ``domain`` where it has one."""
    return f"{port}-{sandbox_id}.{domain}"


def _name(host: str) -> str:
    return host.partition(":")[0].rstrip(".").lower()
