"""What a server can do."""

from __future__ import annotations

from typing import Any

from sandlot.sdk._config import resolve
from sandlot.sdk._errors import ServerUnavailableError
from sandlot.sdk._models import Template

from ._api import AsyncApi


class AsyncServer:
    """A Sandlot server: what it offers, and on which host.

    Args:
        url: where it is; SANDLOT_URL, this machine's credentials file or http://127.0.0.1:7263 if not given.
        api_key: the key to use; SANDLOT_API_KEY or the credentials file if not given.

    Example:
        ```python
        from sandlot import AsyncServer

        server = AsyncServer()
        print([template.name for template in await server.templates()])
        ```
    """

    def __init__(self, url: str | None = None, *, api_key: str | None = None) -> None:
        self._api = AsyncApi(resolve(url, api_key))

    @property
    def url(self) -> str:
        return self._api.endpoint.url

    async def templates(self) -> list[Template]:
        """The templates that sandboxes can start from.

        Raises AuthenticationError and ServerUnavailableError.
        """
        return [Template._of(one) for one in (await self._api.get("/v1/templates"))["templates"]]

    async def host(self) -> dict[str, Any]:
        """What the server's machine can do, as ``sandlot doctor`` shows it: its tiers and what they lack.

        Raises AuthenticationError and ServerUnavailableError.
        """
        report: dict[str, Any] = await self._api.get("/v1/host")
        return report

    async def tenant(self) -> dict[str, Any]:
        """Whose key this is: the tenant's ``name``, its ``quotas`` (None for no bound) and its ``use``.

        Raises AuthenticationError and ServerUnavailableError.
        """
        tenant: dict[str, Any] = await self._api.get("/v1/tenant")
        return tenant

    async def pools(self) -> list[dict[str, Any]]:
        """The hot pools of the server, one for each template: what stands ready, and how often it was of use.

        Needs a key of tenant ``default``. Raises AuthenticationError, PermissionDeniedError and
        ServerUnavailableError.
        """
        pools: list[dict[str, Any]] = (await self._api.get("/v1/pools"))["pools"]
        return pools

    async def is_ready(self) -> bool:
        """Whether the server answers and takes requests. Needs no key.

        Example:
            ```python
            from sandlot import AsyncServer

            assert await AsyncServer().is_ready()
            assert not await AsyncServer("http://127.0.0.1:9").is_ready()
            ```
        """
        try:
            await self._api.request("GET", "/readyz")
        except ServerUnavailableError:
            return False
        return True
