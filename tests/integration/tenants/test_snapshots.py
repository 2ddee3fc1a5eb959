"""With another tenant's key there is no snapshot to be found, started from, gone back to or deleted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandlot.server.local import LocalServer
from tests.integration.api.wire import SANDBOXES, refused

from .conftest import Tenants, tenants_of

NAME = "everybodys/favourite"


@pytest.fixture(scope="module")
def tenants(server: LocalServer) -> Iterator[Tenants]:
    yield from tenants_of(server)


def test_another_tenants_snapshot_is_one_that_never_was(tenants: Tenants) -> None:
    owner, intruder = tenants("keeper"), tenants("seeker")
    mine, theirs = owner.make(), intruder.make()
    kept = owner.post(f"{SANDBOXES}/{mine}/snapshots", json={"name": NAME}).raise_for_status().json()
    never = "sn" + "a" * 20
    for name in (kept["id"], NAME):
        for wish in ({"snapshot": name}, {"snapshot": never}):
            answers = [intruder.post(SANDBOXES, json=wish)]
            answers.append(intruder.post(f"{SANDBOXES}/{theirs}/rollback", json=wish))
            for answer in answers:
                refused(answer, 404, "not_found", repr(wish["snapshot"]))
        refused(intruder.get(f"/v1/snapshots/{name}"), 404, "not_found", repr(name))
        assert intruder.delete(f"/v1/snapshots/{name}").json() == {"deleted": False}
    assert intruder.get("/v1/snapshots").json()["snapshots"] == []
    assert intruder.get("/v1/snapshots", params={"sandbox_id": mine}).json()["snapshots"] == []
    assert owner.get(f"/v1/snapshots/{NAME}").json() == kept
    theirs_too = (
        intruder.post(f"{SANDBOXES}/{theirs}/snapshots", json={"name": NAME}).raise_for_status().json()
    )
    assert intruder.get(f"/v1/snapshots/{NAME}").json()["id"] == theirs_too["id"] != kept["id"]
    for client, id in ((owner, kept["id"]), (intruder, theirs_too["id"])):
        assert client.delete(f"/v1/snapshots/{id}").json() == {"deleted": True}
