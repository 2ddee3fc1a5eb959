"""The database, opened beside a running server: it takes several writers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sandlot.errors import PermissionDenied
from sandlot.server.backend import database_of
from sandlot.server.settings import Settings
from sandlot.store import Database


@asynccontextmanager
async def database_beside(settings: Settings) -> AsyncIterator[Database]:
    """Raises PermissionDenied for whoever may not write there."""
    folder = settings.data_dir
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not os.access(folder, os.W_OK):
        raise PermissionDenied(f"{folder} is the server's; run this as the user that the server runs as")
    database = database_of(settings)
    try:
        await database.open()
        yield database
    finally:
        await database.close()
