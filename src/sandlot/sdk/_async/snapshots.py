"""Snapshots: sandboxes as they were, kept by the server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Self

from sandlot.sdk import _wire
from sandlot.sdk._config import resolve
from sandlot.sdk._models import SnapshotInfo

from ._api import AsyncApi


class AsyncSnapshot(SnapshotInfo):
    """A snapshot. ``AsyncSandbox.snapshot`` makes one, ``AsyncSandbox.create(snapshot=...)`` starts from it.

    It never changes, and does not need the sandbox that it was made of.

    Example:
        ```python
        from sandlot import AsyncSandbox

        await sandbox.commands.run("echo prepared > state")
        snapshot = await sandbox.snapshot()
        async with await AsyncSandbox.create(snapshot=snapshot) as other:
            assert await other.files.read("state") == "prepared\\n"
        await snapshot.delete()
        ```
    """

    _api: AsyncApi

    @classmethod
    def _kept(cls, data: dict[str, Any], api: AsyncApi) -> Self:
        kept = cls._of(data)
        kept._api = api
        return kept

    @classmethod
    async def get(cls, id_or_name: str, *, api_key: str | None = None, url: str | None = None) -> Self:
        """The snapshot of this id or name.

        Raises:
            NotFoundError: there is none.
            AuthenticationError, ServerUnavailableError: as for ``AsyncSandbox.create``.

        Example:
            ```python
            from sandlot import AsyncSnapshot

            made = await sandbox.snapshot(name="before-the-test")
            assert (await AsyncSnapshot.get("before-the-test")).id == made.id
            await made.delete()
            ```
        """
        api = AsyncApi(resolve(url, api_key))
        return cls._kept(await api.get(_wire.path("snapshots", id_or_name)), api)

    @classmethod
    async def list(
        cls,
        *,
        sandbox: str | None = None,
        page_size: int = 100,
        api_key: str | None = None,
        url: str | None = None,
    ) -> AsyncGenerator[Self]:
        """Your snapshots, newest first. Pages are fetched as the iteration needs them.

        Args:
            sandbox: only those of the sandbox of this id.
            page_size: how many to fetch at a time.
            api_key: as for ``AsyncSandbox.create``.
            url: as for ``AsyncSandbox.create``.

        Raises:
            AuthenticationError, ServerUnavailableError: as for ``AsyncSandbox.create``.

        Example:
            ```python
            from sandlot import AsyncSnapshot

            async for snapshot in AsyncSnapshot.list(sandbox=sandbox.id):
                print(snapshot.id, snapshot.name, snapshot.stored_bytes)
            ```
        """
        api = AsyncApi(resolve(url, api_key))
        cursor: str | None = None
        while True:
            params = {"sandbox_id": sandbox, "limit": page_size, "cursor": cursor}
            page = await api.get("/v1/snapshots", params)
            for one in page["snapshots"]:
                yield cls._kept(one, api)
            cursor = page.get("next_cursor")
            if not cursor:
                return

    async def delete(self) -> bool:
        """Delete it; False where it was gone. Sandboxes that were made from it go on.

        Example:
            ```python
            snapshot = await sandbox.snapshot()
            assert await snapshot.delete()
            assert not await snapshot.delete()
            ```
        """
        answer = await self._api.request("DELETE", _wire.path("snapshots", self.id))
        return bool(answer.json()["deleted"])
