"""Each quota, and each reason to wait for a full machine, provoked on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from sandlot import LimitError, Sandbox, Server
from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.integration.api.wire import SANDBOXES, RawClient, refused, until
from tests.leftovers import Footprint

from .conftest import SMALL, Client, Operator, Tenants

ROOM = 3
QUEUE_TIMEOUT_S = 8


@pytest.fixture(scope="module")
def server(footprint: Footprint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """One of its own, soon full."""
    local = LocalServer(
        tmp_path_factory.mktemp("tenants"),
        TEMPLATES_DIR,
        SANDLOT_MAX_SANDBOXES=f"{ROOM}",
        SANDLOT_CREATE_QUEUE_LENGTH="2",
        SANDLOT_CREATE_QUEUE_TIMEOUT_S=f"{QUEUE_TIMEOUT_S}",
        SANDLOT_POOL_NETWORK_SLOTS="1",
        SANDLOT_POOL_DISK_SLOTS="1",
    )
    local.start()
    yield local
    local.end()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def queued(client: Client, count: int) -> None:
    until(lambda: client.tenant()["use"]["queued"] == count, f"{count} in the queue")


def id_of(answer: Future[httpx.Response]) -> str:
    response = answer.result()
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


@pytest.mark.parametrize(
    ("quota", "one"),
    [("max_sandboxes", 1), ("max_cpus", 0.5), ("max_memory_mib", 128), ("max_disk_mib", 128)],
)
def test_one_fits_exactly_and_one_more_is_refused_at_once_until_the_first_ends(
    tenants: Tenants, operator: Operator, quota: str, one: float
) -> None:
    client = tenants("acme", f"--{quota.replace('_', '-')}", f"{one}")
    first = client.make()
    answer = client.ask()
    error = refused(answer, 429, "limit_exceeded", "'acme'", f"{quota}, which is {one:g}", "kill a sandbox")
    assert answer.headers["retry-after"] == "5"
    assert error["details"] == {
        "limit": quota,
        "scope": "tenant",
        "tenant": "acme",
        "in_use": one,
        "allowed": one,
        "retry_after_s": 5,
    }
    client.kill(first)
    client.kill(client.make())

    operator("tenants", "set", "acme", f"--{quota.replace('_', '-')}", "none")
    client.wait_for_quotas(**{quota: None})
    for _ in range(2):
        client.make()


def test_what_died_by_itself_or_never_lived_costs_no_quota(tenants: Tenants) -> None:
    client = tenants("acme", "--max-sandboxes", "1")
    refused(client.ask(template="nope"), 404, "not_found")
    refused(client.ask(cpus=-1), 400, "invalid_argument")
    id = client.make()
    client.post(f"{SANDBOXES}/{id}/timeout", json={"timeout_s": 1}).raise_for_status()
    until(lambda: client.get(f"{SANDBOXES}/{id}").json()["state"] == "killed", "its end")
    until(lambda: client.tenant()["use"]["sandboxes"] == 0, "its quota")
    id = client.make()
    client.post(f"{SANDBOXES}/{id}/commands", json={"command": "kill -9 1; kill -9 -1", "user": "root"})
    client.delete(f"{SANDBOXES}/{id}")
    client.make()


def test_so_many_a_minute(tenants: Tenants) -> None:
    client = tenants("acme", "--creates-per-minute", "2")
    for _ in range(2):
        client.kill(client.make())
    answer = client.ask()
    error = refused(answer, 429, "limit_exceeded", "'acme'", "creates_per_minute, which is 2")
    wait_s = error["details"]["retry_after_s"]
    assert 0 < wait_s <= 30
    assert wait_s <= int(answer.headers["retry-after"]) <= wait_s + 1


def test_a_restart_forgets_nothing_of_what_is_used(server: LocalServer, tenants: Tenants) -> None:
    client = tenants("acme", "--max-sandboxes", "2")
    kept = client.make(cpus=0.3)
    before = client.tenant()
    assert before["use"] == {
        "sandboxes": 1,
        "paused": 0,
        "queued": 0,
        "cpus": 0.3,
        "memory_mib": 128,
        "disk_mib": 128,
    }
    server.crash()
    server.start()
    assert client.tenant() == before
    client.make()
    refused(client.ask(), 429, "limit_exceeded", "max_sandboxes, which is 2")
    client.kill(kept)
    client.make()


def test_a_full_machine_is_waited_for_in_turns(tenants: Tenants, threads: ThreadPoolExecutor) -> None:
    crowd, single = tenants("crowd"), tenants("single")
    living = [crowd.make() for _ in range(ROOM)]
    crowds = threads.submit(crowd.ask)
    queued(crowd, 1)
    singles = threads.submit(single.ask)
    queued(single, 1)
    crowd.kill(living[0])
    id_of(crowds)
    crowd.kill(living[1])
    single.kill(id_of(singles))


def test_a_full_queue_is_said_at_once_and_its_deadline_is_kept(
    tenants: Tenants, threads: ThreadPoolExecutor
) -> None:
    crowd, single = tenants("crowd"), tenants("single")
    for _ in range(ROOM):
        crowd.make()
    waiting = [threads.submit(crowd.ask) for _ in range(2)]
    queued(crowd, 2)
    answer = single.ask()
    words = ("server is full", f"which is {ROOM} (max_sandboxes)", "'single'")
    error = refused(answer, 429, "limit_exceeded", *words, "which is 2 (create_queue_length)")
    assert error["details"] == {
        "limit": "max_sandboxes",
        "scope": "server",
        "tenant": "single",
        "in_use": ROOM,
        "allowed": ROOM,
        "retry_after_s": 5,
    }
    assert answer.headers["retry-after"] == "5"
    for late in waiting:
        waited = f"waited {QUEUE_TIMEOUT_S} s (create_queue_timeout_s)"
        refused(late.result(), 429, "limit_exceeded", "server is full", waited)
    queued(crowd, 0)


def test_who_leaves_the_queue_frees_its_place(
    server: LocalServer, tenants: Tenants, threads: ThreadPoolExecutor
) -> None:
    crowd, single = tenants("crowd"), tenants("single")
    living = [crowd.make() for _ in range(ROOM)]
    with RawClient(server, key=crowd.key) as leaver:
        leaver.ask("POST", SANDBOXES, SMALL)
        queued(crowd, 1)
        leaver.vanish("closed")
    queued(crowd, 0)
    waiting = threads.submit(single.ask)
    queued(single, 1)
    crowd.kill(living[0])
    single.kill(id_of(waiting))


def test_a_server_that_stops_sends_those_who_wait_home(
    server: LocalServer, tenants: Tenants, threads: ThreadPoolExecutor
) -> None:
    crowd = tenants("crowd")
    living = [crowd.make() for _ in range(ROOM)]
    waiting = threads.submit(crowd.ask)
    queued(crowd, 1)
    server.stop()
    refused(waiting.result(), 503, "unavailable", "stopping")
    server.start()
    found = crowd.get(SANDBOXES).json()["sandboxes"]
    assert sorted(each["id"] for each in found) == sorted(living)
    assert crowd.tenant()["use"] == {
        "sandboxes": ROOM, "paused": 0, "queued": 0, "cpus": 1.5, "memory_mib": 128 * ROOM,
        "disk_mib": 128 * ROOM,
    }  # fmt: skip


def test_the_sdk_says_which_limit_and_whose(server: LocalServer, tenants: Tenants) -> None:
    client = tenants("acme", "--max-sandboxes", "0")
    there = {"url": server.url, "api_key": client.key}
    with pytest.raises(LimitError, match="'acme' would exceed its quota max_sandboxes, which is 0") as caught:
        Sandbox.create(**there)
    error = caught.value
    assert (error.limit, error.scope, error.retry_after) == ("max_sandboxes", "tenant", 5)
    mine = Server(**there).tenant()
    assert (mine["name"], mine["quotas"]["max_sandboxes"], mine["use"]["sandboxes"]) == ("acme", 0, 0)


def test_the_operators_table_shows_who_has_how_much(operator: Operator, tenants: Tenants) -> None:
    client = tenants("acme", "--max-sandboxes", "4", "--max-cpus", "2")
    client.make()
    [row] = [line.split("   ") for line in operator("tenants", "ls").splitlines() if "acme" in line]
    assert [cell.strip() for cell in row if cell.strip()] == [
        "acme", "1", "1 of 4", "0", "0.5 of 2", "128", "128", "-",
    ]  # fmt: skip
