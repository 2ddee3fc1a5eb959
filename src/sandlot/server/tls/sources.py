"""Where the certificate comes from: the server's own authority, the operator's files, or ACME."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sandlot.errors import InvalidArgument
from sandlot.server.tls.authority import own_identity
from sandlot.server.tls.identity import Identity


class Source(Protocol):
    @property
    def domain(self) -> str: ...

    def latest(self) -> Identity:
        """The one to use now. Blocks for files only. Raises InvalidArgument, OSError."""
        ...

    async def tend(self) -> None:
        """See to it that there is a next one in time, however long that takes."""
        ...


@dataclass(frozen=True, slots=True)
class Own:
    """By the server's own authority, all of it kept in ``folder``."""

    folder: Path
    domain: str

    def latest(self) -> Identity:
        return own_identity(self.folder, self.domain)

    async def tend(self) -> None:
        """Looking at it issues it."""


@dataclass(frozen=True, slots=True)
class Given:
    """The operator's, who renews it."""

    certificate: Path
    key: Path
    domain: str

    def latest(self) -> Identity:
        identity = Identity(_content(self.certificate, "tls_certificate"), _content(self.key, "tls_key"))
        try:
            identity.check(self.domain)
        except InvalidArgument as error:
            raise InvalidArgument(f"{self.certificate}: {error.message}") from None
        return identity

    async def tend(self) -> None:
        """Nothing to do."""


def _content(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidArgument(f"{setting}: {path} cannot be read: {error.strerror}") from None
