from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from sandlot.server.local import LocalServer
from tests.integration.api.wire import PATIENCE_S, SANDBOXES, until

SMALL = {"isolation": "container", "cpus": 0.5, "memory_mib": 128, "disk_mib": 128}


class Operator:
    """Whoever runs the server, at its machine's command line."""

    def __init__(self, server: LocalServer) -> None:
        self._server = server
        self._environment = os.environ | {"SANDLOT_DATA_DIR": str(server.folder / "data")}

    def __call__(self, *words: str) -> str:
        run = self.tries(*words)
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    def tries(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sandlot.cli.main", *words]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)

    def keys_of(self, tenant: str) -> list[str]:
        """The ids of a tenant's keys."""
        return [key["id"] for key in json.loads(self("keys", "ls", "--json")) if key["tenant"] == tenant]

    def client_of(self, tenant: str) -> Client:
        return Client(self._server, self("keys", "create", "test", "--tenant", tenant))


class Client(httpx.Client):
    """A client with a key of one tenant. What it made ends when it closes."""

    def __init__(self, server: LocalServer, key: str) -> None:
        super().__init__(base_url=server.url, headers={"X-API-Key": key}, timeout=PATIENCE_S)
        self.key = key

    def ask(self, **body: Any) -> httpx.Response:
        """For a small sandbox."""
        return self.post(SANDBOXES, json=SMALL | body)

    def make(self, **body: Any) -> str:
        answer = self.ask(**body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def kill(self, id: str) -> None:
        assert self.delete(f"{SANDBOXES}/{id}").json() == {"killed": True}

    def tenant(self) -> Any:
        return self.get("/v1/tenant").raise_for_status().json()

    def wait_for_quotas(self, **quotas: float | None) -> None:
        """Until the server has heard of them."""
        until(lambda: quotas.items() <= self.tenant()["quotas"].items(), f"{quotas}")

    def clear(self) -> None:
        while found := self.get(SANDBOXES).raise_for_status().json()["sandboxes"]:
            for sandbox in found:
                self.delete(f"{SANDBOXES}/{sandbox['id']}")


Tenants = Callable[..., Client]


def tenants_of(server: LocalServer) -> Iterator[Tenants]:
    """Make tenants, each with a client; they and all of theirs are gone at the end."""
    operator = Operator(server)
    with ExitStack() as stack:

        def end(client: Client, name: str) -> None:
            if server.process.poll() is not None:
                server.start()
            if client.get(SANDBOXES).status_code == 200:
                client.clear()
            client.close()
            for key in operator.keys_of(name):
                operator("keys", "revoke", key)
            operator.tries("tenants", "rm", name)

        def make(name: str, *quotas: str) -> Client:
            operator("tenants", "create", name, *quotas)
            client = operator.client_of(name)
            stack.callback(end, client, name)
            return client

        yield make


@pytest.fixture
def operator(server: LocalServer) -> Operator:
    return Operator(server)


@pytest.fixture
def tenants(server: LocalServer) -> Iterator[Tenants]:
    yield from tenants_of(server)
