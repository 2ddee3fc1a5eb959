"""The server's secret, from which sandboxes' tokens follow. It lives as long as the data folder."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from sandlot.errors import InvalidArgument
from sandlot.server import files

_BYTES: Final = 32


def secret_of(data_dir: Path) -> bytes:
    """Made where there is none. Raises OSError; InvalidArgument where the file holds something else."""
    path = data_dir / "secret"
    if (found := files.read(path)) is None:
        found = secrets.token_bytes(_BYTES)
        files.replace(path, found, mode=0o600)
    if len(found) != _BYTES:
        raise InvalidArgument(f"{path} is not this server's secret; remove it, and sandboxes get new tokens")
    return found
