"""The few calls that the program makes, over the native API. A refusal is a value, not an exception."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import httpx

SANDBOXES = "/v1/sandboxes"
EVERY_STATE = "creating,running,pausing,paused,resuming,killing,killed,failed"
_GONE = (httpx.TransportError, httpx.StreamError)


@dataclass(frozen=True)
class Answer:
    """``status`` 0: the connection broke, so nothing is known of what was asked."""

    status: int
    content: Any = None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class Client:
    def __init__(self, url: str, key: str) -> None:
        # A connection each: one that a killed server left must not fail the next request.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.AsyncClient(base_url=url, headers={"X-API-Key": key}, timeout=90, limits=limits)

    async def close(self) -> None:
        await self._http.aclose()

    async def create(self, isolation: str, mark: str) -> Answer:
        body = {"isolation": isolation, "metadata": {"mark": mark}, "timeout_s": None}
        return await self._ask("POST", SANDBOXES, json=body)

    async def kill(self, id: str) -> Answer:
        return await self._ask("DELETE", f"{SANDBOXES}/{id}")

    async def get(self, id: str) -> Answer:
        return await self._ask("GET", f"{SANDBOXES}/{id}")

    async def events(self, id: str) -> list[dict[str, Any]]:
        answer = await self._ask("GET", f"{SANDBOXES}/{id}/events")
        assert answer.ok, answer
        return list(answer.content["events"])

    async def all(self, **query: str) -> list[dict[str, Any]]:
        answer = await self._ask("GET", SANDBOXES, params={"limit": "1000", **query})
        assert answer.ok, answer
        return list(answer.content["sandboxes"])

    async def set_timeout(self, id: str, seconds: float) -> Answer:
        return await self._ask("POST", f"{SANDBOXES}/{id}/timeout", json={"timeout_s": seconds})

    async def pause(self, id: str, *, memory: bool) -> Answer:
        return await self._ask("POST", f"{SANDBOXES}/{id}/pause", json={"memory": memory})

    async def resume(self, id: str) -> Answer:
        return await self._ask("POST", f"{SANDBOXES}/{id}/resume", json={})

    async def write(self, id: str, path: str, text: str) -> Answer:
        return await self._ask("PUT", f"{SANDBOXES}/{id}/files", params={"path": path}, content=text)

    async def begin(self, id: str, command: str) -> Answer:
        body = {"command": command, "background": True, "timeout_s": None}
        return await self._ask("POST", f"{SANDBOXES}/{id}/commands", json=body)

    async def command(self, id: str, command: int) -> Answer:
        return await self._ask("GET", f"{SANDBOXES}/{id}/commands/{command}")

    async def run(self, id: str, command: str) -> Answer:
        """The answer's content is what it printed; a command that failed counts as a broken connection."""
        body = {"command": command, "timeout_s": 60}
        answer = await self._ask("POST", f"{SANDBOXES}/{id}/commands", json=body)
        if not answer.ok:
            return answer
        said = [json.loads(line) for line in answer.content.splitlines()]
        last = said[-1] if said else {}
        if last.get("type") != "exit" or last["exit_code"] != 0:
            return Answer(0, last)
        return Answer(
            200, b"".join(base64.b64decode(each["data"]) for each in said if each["type"] == "stdout")
        )

    async def _ask(self, method: str, path: str, **options: Any) -> Answer:
        try:
            response = await self._http.request(method, path, **options)
        except _GONE as error:
            return Answer(0, repr(error))
        kind = response.headers.get("content-type", "")
        return Answer(response.status_code, response.json() if kind == "application/json" else response.text)
