# Generated from ../_async/snapshots.py by script/generate-sync: change that file, not this one.
"""Snapshots: sandboxes as they were, kept by the server."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Self

from sandlot.sdk import _wire
from sandlot.sdk._config import resolve
from sandlot.sdk._models import SnapshotInfo

from ._api import Api


class Snapshot(SnapshotInfo):
    """A snapshot. ``Sandbox.snapshot`` makes one, ``Sandbox.create(snapshot=...)`` starts from it.

    It never changes, and does not need the sandbox that it was made of.

    Example:
        ```python
        from sandlot import Sandbox

        sandbox.commands.run("echo prepared > state")
        snapshot = sandbox.snapshot()
        with Sandbox.create(snapshot=snapshot) as other:
            assert other.files.read("state") == "prepared\\n"
        snapshot.delete()
        ```
    """

    _api: Api

    @classmethod
    def _kept(cls, data: dict[str, Any], api: Api) -> Self:
        kept = cls._of(data)
        kept._api = api
        return kept

    @classmethod
    def get(cls, id_or_name: str, *, api_key: str | None = None, url: str | None = None) -> Self:
        """The snapshot of this id or name.

        Raises:
            NotFoundError: there is none.
            AuthenticationError, ServerUnavailableError: as for ``Sandbox.create``.

        Example:
            ```python
            from sandlot import Snapshot

            made = sandbox.snapshot(name="before-the-test")
            assert (Snapshot.get("before-the-test")).id == made.id
            made.delete()
            ```
        """
        api = Api(resolve(url, api_key))
        return cls._kept(api.get(_wire.path("snapshots", id_or_name)), api)

    @classmethod
    def list(
        cls,
        *,
        sandbox: str | None = None,
        page_size: int = 100,
        api_key: str | None = None,
        url: str | None = None,
    ) -> Generator[Self]:
        """Your snapshots, newest first. Pages are fetched as the iteration needs them.

        Args:
            sandbox: only those of the sandbox of this id.
            page_size: how many to fetch at a time.
            api_key: as for ``Sandbox.create``.
            url: as for ``Sandbox.create``.

        Raises:
            AuthenticationError, ServerUnavailableError: as for ``Sandbox.create``.

        Example:
            ```python
            from sandlot import Snapshot

            for snapshot in Snapshot.list(sandbox=sandbox.id):
                print(snapshot.id, snapshot.name, snapshot.stored_bytes)
            ```
        """
        api = Api(resolve(url, api_key))
        cursor: str | None = None
        while True:
            params = {"sandbox_id": sandbox, "limit": page_size, "cursor": cursor}
            page = api.get("/v1/snapshots", params)
            for one in page["snapshots"]:
                yield cls._kept(one, api)
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def delete(self) -> bool:
        """Delete it; False where it was gone. Sandboxes that were made from it go on.

        Example:
            ```python
            snapshot = sandbox.snapshot()
            assert snapshot.delete()
            assert not snapshot.delete()
            ```
        """
        answer = self._api.request("DELETE", _wire.path("snapshots", self.id))
        return bool(answer.json()["deleted"])
