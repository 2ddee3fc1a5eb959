"""What is counted of requests, and who may read it; an engine in memory lies under it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sandlot.core.census import Census, TenantCount
from sandlot.core.survey import Survey, nothing
from sandlot.node import Usage
from sandlot.server.app import create_app
from sandlot.server.backend import Backend
from sandlot.server.settings import Settings
from sandlot.store import Database, KeyStore, Tenant, TenantStore, sqlite_url
from sandlot.tally import Stock
from tests.unit.doors.fake_engine import ID, FakeEngine


class WatchedEngine(FakeEngine):
    found = nothing()

    async def survey(self) -> Survey:
        return self.found


class Served:
    def __init__(self, folder: Path, **settings: Any) -> None:
        self.engine = WatchedEngine()
        self.key = self.tenants_key = ""
        database = Database(sqlite_url(folder / "db"))
        engine: Any = self.engine

        async def prepare(keys: KeyStore) -> None:
            _, self.key = await keys.create("operator")
            await TenantStore(database).create(Tenant("acme"))
            _, self.tenants_key = await keys.create("tenant", "acme")

        self.backend = Backend(engine, database, prepare=prepare)
        self.app = create_app(Settings(data_dir=folder, **settings), self.backend)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://sandlot")

    async def get(self, path: str, key: str | None = None) -> httpx.Response:
        return await self.client.get(path, headers={} if key is None else {"X-API-Key": key})

    async def figures(self) -> Mapping[str, float]:
        return figures((await self.get("/metrics", self.key)).text)


def figures(text: str) -> dict[str, float]:
    """By name and labels, as they are written."""
    return {
        sample.name
        + "".join(f" {label}={value}" for label, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
async def served(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    served = Served(tmp_path, **getattr(request, "param", {}))
    async with served.app.router.lifespan_context(served.app), served.client:
        await served.backend.settled()
        yield served


async def test_requests_are_counted_by_operation_and_status(served: Served) -> None:
    await served.get(f"/v1/sandboxes/{ID}", served.key)
    await served.get(f"/v1/sandboxes/{ID}", served.key)
    await served.get(f"/v1/sandboxes/{ID}")
    await served.get("/one/of/endless/paths")
    found = await served.figures()
    assert found["sandlot_requests_total code=200 operation=get_sandbox"] == 2
    assert found["sandlot_requests_total code=401 operation=get_sandbox"] == 1
    assert found["sandlot_requests_total code=404 operation=none"] == 1
    assert found["sandlot_request_seconds_count code=2xx operation=get_sandbox"] == 2
    assert found["sandlot_request_seconds_bucket code=2xx le=+Inf operation=get_sandbox"] == 2
    assert found["sandlot_requests_in_progress operation=metrics"] == 1
    assert "endless" not in str(found)


async def test_each_tenant_has_its_figures(served: Served) -> None:
    served.engine.found = replace(
        nothing(),
        census=Census(
            tenants={"acme": TenantCount({}, queued=3, cpus=1.5, memory_mib=2, disk_mib=0)},
            queued=3,
            starting=1,
            refusals={("acme", "max_cpus"): 4, ("default", "max_sandboxes"): 1},
        ),
        used={"acme": Usage(cpu_seconds=7.5, tx_bytes=9, frozen=2, thaws=5)},
        stocks={"disk": Stock(ready=4, claimed=2, made=8, missed=1)},
    )
    found = await served.figures()
    assert found["sandlot_refusals_total limit=max_cpus tenant=acme"] == 4
    assert found["sandlot_tenant_queued tenant=acme"] == found["sandlot_queue_length"] == 3
    assert found["sandlot_tenant_reserved_memory_bytes tenant=acme"] == 2 * 1024**2
    assert found["sandlot_tenant_cpu_seconds_total tenant=acme"] == 7.5
    assert found["sandlot_tenant_network_transmit_bytes_total tenant=acme"] == 9
    assert found["sandlot_tenant_frozen tenant=acme"] == 2
    assert found["sandlot_tenant_thaws_total tenant=acme"] == 5
    assert found["sandlot_slots kind=disk state=ready"] == 4
    assert found["sandlot_slots_missed_total kind=disk"] == 1


async def test_two_applications_do_not_count_together(served: Served, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Served(tmp_path / "other")
    await served.get("/healthz")
    async with other.app.router.lifespan_context(other.app), other.client:
        await other.backend.settled()
        assert "operation=healthz" not in str(await other.figures())
    assert "operation=healthz" in str(await served.figures())


async def test_a_request_whose_client_left_is_counted_as_that(served: Served) -> None:
    served.engine.failure = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await served.get(f"/v1/sandboxes/{ID}", served.key)
    found = await served.figures()
    assert found["sandlot_requests_total code=left operation=get_sandbox"] == 1
    assert "sandlot_requests_in_progress operation=get_sandbox" not in found


async def test_tenants_do_not_read_each_others_figures(served: Served) -> None:
    answer = await served.get("/metrics", served.tenants_key)
    assert answer.status_code == 403
    error = answer.json()["error"]
    assert (error["code"], "default" in error["message"]) == ("permission_denied", True)


@pytest.mark.parametrize("served", [{"metrics_public": True}], indirect=True)
async def test_it_may_be_opened_to_all(served: Served) -> None:
    assert (await served.get("/metrics")).status_code == 200


async def test_a_server_that_is_not_ready_says_so(served: Served) -> None:
    assert (await served.figures())["sandlot_ready"] == 1
    served.backend.begin_stop()
    assert (await served.figures())["sandlot_ready"] == 0


@pytest.mark.parametrize("accept", ["text/plain;version=x", "application/openmetrics-text;version=x", "*/*"])
async def test_whatever_a_client_accepts_it_gets_one_of_the_formats(served: Served, accept: str) -> None:
    headers = {"X-API-Key": served.key, "Accept": accept}
    answer = await served.client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    assert answer.text.endswith("# EOF\n") == ("openmetrics" in accept)


async def test_it_is_no_part_of_the_api(served: Served) -> None:
    assert "/metrics" not in (await served.get("/openapi.json")).json()["paths"]
