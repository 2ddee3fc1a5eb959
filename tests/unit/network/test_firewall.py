from __future__ import annotations

import asyncio
from ipaddress import IPv4Network
from typing import Any

import pytest

from sandlot.errors import Unavailable
from sandlot.network import firewall
from sandlot.network.addresses import AddressPlan
from sandlot.network.netlink import Change

PLAN = AddressPlan("ab12", IPv4Network("10.200.16.0/20"))


class Nft:
    """Stands in for the kernel: keeps what it was told, can be held up or refuse."""

    def __init__(self) -> None:
        self.transactions: list[list[dict[str, Any]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.refuse = 0

    async def __call__(self, commands: list[dict[str, Any]]) -> None:
        await self.gate.wait()
        if self.refuse:
            self.refuse -= 1
            raise Unavailable("no")
        self.transactions.append(commands)


@pytest.fixture
def nft(monkeypatch: pytest.MonkeyPatch) -> Nft:
    program = Nft()

    async def change_sets(table: str, changes: list[Change]) -> None:
        await program([{"add" if change.adds else "delete": change} for change in changes])

    monkeypatch.setattr(firewall, "nft", program)
    monkeypatch.setattr(firewall, "change_sets", change_sets)
    return program


async def test_changes_made_meanwhile_go_in_one_transaction(nft: Nft) -> None:
    wall = firewall.Firewall(PLAN)
    nft.gate.clear()
    first = asyncio.create_task(wall.add(PLAN.slot(0), internet=True))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(wall.add(PLAN.slot(n), internet=False)) for n in range(1, 40)]
    await asyncio.sleep(0)
    nft.gate.set()
    await asyncio.gather(first, *others)
    assert len(nft.transactions) <= 2
    assert sum(map(len, nft.transactions)) == 2 + 39


async def test_no_change_costs_nothing(nft: Nft) -> None:
    wall = firewall.Firewall(PLAN)
    await wall.add(PLAN.slot(0), internet=True)
    await wall.set_internet(PLAN.slot(0), True)
    assert len(nft.transactions) == 1
    assert wall.allows_internet(PLAN.slot(0).guest_ip)


async def test_a_cancelled_callers_change_is_made_all_the_same(nft: Nft) -> None:
    wall = firewall.Firewall(PLAN)
    await wall.add(PLAN.slot(0), internet=True)
    nft.gate.clear()
    caller = asyncio.create_task(wall.set_internet(PLAN.slot(0), False))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    nft.gate.set()
    await wall.stop()
    assert "delete" in nft.transactions[-1][0]
    assert not wall.allows_internet(PLAN.slot(0).guest_ip)


async def test_a_refused_change_makes_the_table_anew(nft: Nft) -> None:
    wall = firewall.Firewall(PLAN)
    nft.refuse = 1
    await wall.add(PLAN.slot(0), internet=True)
    (rebuilt,) = nft.transactions
    sets = {c["add"]["set"]["name"]: c["add"]["set"] for c in rebuilt if "set" in c.get("add", {})}
    assert sets["internet"]["elem"] == [PLAN.slot(0).guest_ip]


async def test_a_change_that_cannot_be_made_is_said(nft: Nft) -> None:
    wall = firewall.Firewall(PLAN)
    nft.refuse = 2
    with pytest.raises(Unavailable):
        await wall.add(PLAN.slot(0), internet=True)


def test_every_way_for_a_packet_from_a_slot_to_the_host_ends_in_a_drop() -> None:
    rules = [c["add"]["rule"] for c in firewall.ruleset(PLAN, (), {}, ()) if "rule" in c.get("add", {})]
    for chain in ("slot_to_host", "to_slot"):
        assert [rule for rule in rules if rule["chain"] == chain][-1]["expr"][-1] == {"drop": None}
