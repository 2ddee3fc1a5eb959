"""Keys, from outside of a running server: its database takes several writers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sandlot.errors import PermissionDenied
from sandlot.server.backend import database_of
from sandlot.server.settings import Settings
from sandlot.store import KeyInfo, KeyStore


async def create(settings: Settings, name: str) -> str:
    """A new key, which cannot be read again."""
    async with _keys(settings) as keys:
        _, key = await keys.create(name)
        return key


async def everyone(settings: Settings) -> list[KeyInfo]:
    async with _keys(settings) as keys:
        return await keys.all()


async def revoke(settings: Settings, id: str) -> KeyInfo:
    """Raises NotFound where no such key is."""
    async with _keys(settings) as keys:
        return await keys.revoke(id)


@asynccontextmanager
async def _keys(settings: Settings) -> AsyncIterator[KeyStore]:
    folder = settings.data_dir
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not os.access(folder, os.W_OK):
        raise PermissionDenied(f"{folder} is the server's; run this as the user that the server runs as")
    database = database_of(settings)
    try:
        await database.open()
        yield KeyStore(database)
    finally:
        await database.close()
