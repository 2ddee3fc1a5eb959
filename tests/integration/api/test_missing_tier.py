"""A host that lacks a tier's runtime: what it cannot do is refused, never done in a weaker way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint

from .wire import PATIENCE_S, SANDBOXES, lines, refused

HIDE = """
for program in $0; do
    for folder in /usr/sbin /usr/bin /usr/local/sbin /usr/local/bin; do
        [ -e $folder/$program ] && mount --bind /dev/null $folder/$program
    done
done
exec "$@"
"""


@dataclass(frozen=True)
class Host:
    http: httpx.Client
    lacks: str
    has: str
    how_to_get_it: str


@pytest.fixture(
    scope="module",
    params=[
        ("runsc", "gvisor", "container", "install runsc"),
        ("runc crun", "container", "gvisor", "install runc"),
    ],
    ids=["without runsc", "without runc"],
)
def host(
    footprint: Footprint, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Host]:
    """A server in a mount namespace where nothing executable has the runtime's name."""
    programs, lacks, has, fix = request.param
    server = LocalServer(
        tmp_path_factory.mktemp("lacking"),
        TEMPLATES_DIR,
        through=["unshare", "--mount", "sh", "-c", HIDE, programs],
        SANDLOT_DEFAULT_ISOLATION=lacks,
        SANDLOT_POOL_NETWORK_SLOTS="1",
        SANDLOT_POOL_DISK_SLOTS="1",
    )
    server.start()
    try:
        with httpx.Client(base_url=server.url, headers={"X-API-Key": server.key}, timeout=PATIENCE_S) as http:
            yield Host(http, lacks, has, fix)
    finally:
        server.end()


def test_the_tier_is_refused_and_nothing_runs_instead(host: Host) -> None:
    for body in ({"isolation": host.lacks}, {}):
        answer = host.http.post(SANDBOXES, json=body)
        refused(answer, 422, "tier_unavailable", host.lacks, host.how_to_get_it)
    assert host.http.get(SANDBOXES).json()["sandboxes"] == []
    tried = host.http.get(SANDBOXES, params={"state": "failed,killed"}).json()["sandboxes"]
    assert {(each["isolation"], each["started_at"]) for each in tried} <= {(host.lacks, None)}


def test_the_host_says_what_it_lacks(host: Host) -> None:
    tiers = {tier["tier"]: tier for tier in host.http.get("/v1/host").json()["tiers"]}
    assert not tiers[host.lacks]["available"]
    assert any(host.how_to_get_it in missing for missing in tiers[host.lacks]["missing"])
    assert tiers[host.has]["available"]


def test_the_other_tier_works(host: Host) -> None:
    sandbox = host.http.post(SANDBOXES, json={"isolation": host.has}).json()
    assert (sandbox["state"], sandbox["isolation"]) == ("running", host.has)
    said = lines(host.http.post(f"{SANDBOXES}/{sandbox['id']}/commands", json={"command": "exit 3"}))
    assert said[-1]["exit_code"] == 3
