"""Which part of the door a request is for: headers, token, path."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sandlot.doors.e2b.addressing import Addressing
from sandlot.doors.e2b.door import CODE_PORT, ENVD_PORT, Door
from sandlot.doors.streaming import Streams
from tests.unit.doors.fake_engine import ID

TOKEN = "a" * 40
AGENT = {"e2b-sandbox-id": ID, "e2b-sandbox-port": str(ENVD_PORT)}


def answering(name: str) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        address = scope.get("state", {}).get("ingress")
        body = {"by": name, "for": None if address is None else [address.port, address.sandbox_id]}
        await JSONResponse(body)(scope, receive, send)

    return app


class FakeAccess:
    def signed(self, matches: Callable[[str], bool]) -> Any:
        return SimpleNamespace(id=ID) if matches(TOKEN) else None


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr("sandlot.doors.e2b.addressing.control_plane", lambda _: answering("control"))
    door = Door(
        check_ready=lambda: None,
        authenticate=None,  # type: ignore[arg-type]
        engine_of=None,  # type: ignore[arg-type]
        streams=Streams(),
        access=FakeAccess(),  # type: ignore[arg-type]
        domain="localhost",
        elsewhere=answering("elsewhere"),
    )
    services = {ENVD_PORT: answering("envd"), CODE_PORT: answering("code")}
    app = Addressing(answering("native"), door=door, services=services)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandlot") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "headers", "by", "port"),
    [
        ("/v1/sandboxes", {}, "native", None),
        ("/process.Process/Start", {}, "native", None),
        ("/sandboxes", {}, "control", None),
        ("/v2/sandboxes", {}, "control", None),
        ("/sandboxesque", {}, "native", None),
        ("/process.Process/Start", AGENT, "envd", ENVD_PORT),
        ("/process.Process/Start", {"e2b-sandbox-id": ID}, "envd", ENVD_PORT),
        ("/execute", AGENT | {"e2b-sandbox-port": "49999"}, "code", CODE_PORT),
        ("/", AGENT | {"e2b-sandbox-port": "3000"}, "elsewhere", 3000),
        # Older clients name the agent when they ask the control plane about a sandbox.
        (f"/sandboxes/{ID}/connect", AGENT, "control", None),
        # What a sandbox serves itself may have any path.
        ("/sandboxes", AGENT | {"e2b-sandbox-port": "3000"}, "elsewhere", 3000),
        # And once connected they name it no more, but send its token.
        ("/process.Process/Start", {"x-access-token": TOKEN}, "envd", ENVD_PORT),
        ("/filesystem.Filesystem/Stat", {"x-access-token": TOKEN}, "envd", ENVD_PORT),
        ("/files", {"x-access-token": TOKEN}, "envd", ENVD_PORT),
        ("/health", {"x-access-token": TOKEN}, "envd", ENVD_PORT),
        ("/v1/sandboxes", {"x-access-token": TOKEN}, "native", None),
    ],
)
async def test_who_answers(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], by: str, port: int | None
) -> None:
    answer = (await client.post(path, headers=headers)).json()
    assert answer == {"by": by, "for": None if port is None else [port, ID]}


@pytest.mark.parametrize("path", ["/process.Process/Start", "/execute", "/sandboxes"])
async def test_a_browser_asks_leave_without_naming_the_sandbox(client: httpx.AsyncClient, path: str) -> None:
    asked = {"access-control-request-headers": "content-type, E2b-Sandbox-Id, x-access-token"}
    assert (await client.options(path, headers=asked)).json()["by"] == "envd"
    other = {"access-control-request-headers": "x-api-key"}
    assert (await client.options(path, headers=other)).json()["by"] != "envd"


async def test_a_token_that_no_running_sandbox_has(client: httpx.AsyncClient) -> None:
    answer = await client.post("/process.Process/Start", headers={"x-access-token": "b" * 40})
    assert answer.status_code == 502
    assert "was not found" in answer.json()["message"]  # by which clients know that a sandbox has ended


@pytest.mark.parametrize("port", ["", "0", "65536", "http", "-1", "٣"])
async def test_a_port_that_is_none(client: httpx.AsyncClient, port: str) -> None:
    headers = {"e2b-sandbox-id": ID, "e2b-sandbox-port": port.encode()}
    answer = await client.get("/health", headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 400
    assert "e2b-sandbox-port" in answer.json()["message"]
