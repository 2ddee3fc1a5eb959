"""The server's secret, from which sandboxes' tokens follow. It lives as long as the data folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from sandlot.errors import InvalidArgument

_BYTES: Final = 32


def secret_of(data_dir: Path) -> bytes:
    """Made where there is none. Raises OSError; InvalidArgument where the file holds something else."""
    path = data_dir / "secret"
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        data_dir.mkdir(parents=True, exist_ok=True)
        found = _make(path)
    if len(found) != _BYTES:
        raise InvalidArgument(f"{path} is not this server's secret; remove it, and sandboxes get new tokens")
    return found


def _make(path: Path) -> bytes:
    """Whole or not at all, whenever the machine stops."""
    secret = secrets.token_bytes(_BYTES)
    aside = path.with_suffix(".new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(descriptor)
    os.replace(aside, path)
    return secret
