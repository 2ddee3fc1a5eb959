"""Keys, from outside of a running server."""

from __future__ import annotations

from sandlot.server.beside import database_beside
from sandlot.server.settings import Settings
from sandlot.store import KeyInfo, KeyStore


async def create(settings: Settings, name: str, tenant: str) -> str:
    """A new key, which cannot be read again. Raises NotFound where no such tenant is."""
    async with database_beside(settings) as database:
        _, key = await KeyStore(database).create(name, tenant)
        return key


async def everyone(settings: Settings) -> list[KeyInfo]:
    async with database_beside(settings) as database:
        return await KeyStore(database).all()


async def revoke(settings: Settings, id: str) -> KeyInfo:
    """Raises NotFound where no such key is."""
    async with database_beside(settings) as database:
        return await KeyStore(database).revoke(id)
