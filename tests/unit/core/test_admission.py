"""Quotas and the queue, with a model beside them: the books are right at every moment, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sandlot.core.admission import Admission
from sandlot.core.limits import Limits
from sandlot.core.quotas import Amounts
from sandlot.errors import LimitExceeded, Unavailable
from sandlot.store import Quotas, Tenant

ONE = Amounts.of(1.0, 1024, 10240)
ACME = Tenant("acme")
OTHER = Tenant("other")


async def settle() -> None:
    """Let everything happen that can."""
    for _ in range(5):
        await asyncio.sleep(0)


def asks(admission: Admission, id: str, tenant: Tenant, wish: Amounts = ONE) -> asyncio.Task[None]:
    return asyncio.create_task(admission.enter(id, tenant, wish), name=id)


@pytest.mark.parametrize(
    ("quotas", "limit", "fits", "words"),
    [
        (
            Quotas(max_sandboxes=2),
            "max_sandboxes",
            ONE,
            "max_sandboxes, which is 2: it has 2 and asked for 1 more",
        ),
        (Quotas(max_cpus=2.0), "max_cpus", ONE, "max_cpus, which is 2: it has 2"),
        (Quotas(max_memory_mib=2048), "max_memory_mib", ONE, "max_memory_mib, which is 2048: it has 2048"),
        (Quotas(max_disk_mib=20480), "max_disk_mib", ONE, "max_disk_mib, which is 20480"),
        (
            Quotas(max_cpus=0.2),
            "max_cpus",
            Amounts.of(0.1, 64, 64),
            "max_cpus, which is 0.2: it has 0.2 and asked for 0.1",
        ),
    ],
)
async def test_exactly_at_a_quota_passes_and_one_more_is_refused_at_once(
    quotas: Quotas, limit: str, fits: Amounts, words: str
) -> None:
    admission, tenant = Admission(Limits()), Tenant("acme", quotas)
    await admission.enter("one", tenant, fits)
    await admission.enter("two", tenant, fits)
    with pytest.raises(LimitExceeded, match=f"'acme' would exceed its quota {words}") as caught:
        await admission.enter("three", tenant, fits)
    details = caught.value.details
    assert (details["limit"], details["scope"], details["tenant"]) == (limit, "tenant", "acme")
    assert details["in_use"] == details["allowed"] == getattr(quotas, limit)
    await admission.enter("somebody else's", OTHER, fits)
    admission.ended("one")
    await admission.enter("three", tenant, fits)
    assert admission.count().refusals == {("acme", limit): 1}


async def test_what_never_fits_says_so() -> None:
    tenant = Tenant("acme", Quotas(max_memory_mib=512))
    with pytest.raises(LimitExceeded, match="asked for 1024 more; ask for less"):
        await Admission(Limits()).enter("one", tenant, ONE)


async def test_a_full_machine_lets_tenants_wait_in_turns() -> None:
    admission = Admission(Limits(max_sandboxes=1))
    await admission.enter("first", ACME, ONE)
    waiting = [asks(admission, f"a{number}", ACME) for number in range(3)]
    await settle()
    waiting.append(asks(admission, "b0", OTHER))
    await settle()
    order = []
    ending = "first"
    for _ in range(4):
        admission.ended(ending)
        await settle()
        [ending] = [task.get_name() for task in waiting if task.done() and task.get_name() not in order]
        order.append(ending)
    assert order == ["a0", "b0", "a1", "a2"]


async def test_a_burst_of_one_tenant_does_not_hold_up_another() -> None:
    admission = Admission(Limits(max_concurrent_creates=2))
    burst = [asks(admission, f"a{number}", ACME) for number in range(200)]
    await settle()
    single = asks(admission, "b", OTHER)
    await settle()
    assert [task.done() for task in burst].count(True) == 2
    admission.started("a0")
    admission.started("a1")
    await settle()
    assert single.done()
    for task in burst:
        task.cancel()
    await asyncio.gather(*burst, return_exceptions=True)


async def test_the_deadline_of_the_queue_says_what_was_short_and_whose() -> None:
    admission = Admission(Limits(max_sandboxes=1, create_queue_timeout_s=0.01))
    await admission.enter("first", ACME, ONE)
    says = r"server is full: it runs as many .*, which is 1 \(max_sandboxes\).*'other'.*waited 0\.01 s"
    with pytest.raises(LimitExceeded, match=says) as caught:
        await admission.enter("second", OTHER, ONE)
    assert caught.value.details == {
        "limit": "max_sandboxes",
        "scope": "server",
        "tenant": "other",
        "in_use": 1,
        "allowed": 1,
        "retry_after_s": 5,
    }
    assert admission.use("other") == Amounts()
    assert admission.count().refusals == {("other", "max_sandboxes"): 1}


async def test_a_full_queue_refuses_at_once_and_costs_no_token() -> None:
    admission = Admission(Limits(max_sandboxes=1, create_queue_length=1))
    await admission.enter("first", ACME, ONE)
    waiting = asks(admission, "second", ACME)
    await settle()
    slow = Tenant("slow", Quotas(creates_per_minute=1))
    with pytest.raises(LimitExceeded, match=r"wait as may, which is 1 \(create_queue_length"):
        await admission.enter("third", slow, ONE)
    waiting.cancel()
    await settle()
    admission.ended("first")
    await admission.enter("fourth", slow, ONE)


async def test_who_leaves_the_queue_frees_its_place_and_its_quota() -> None:
    admission = Admission(Limits(max_sandboxes=1, create_queue_length=1))
    tenant = Tenant("acme", Quotas(max_sandboxes=2))
    await admission.enter("first", tenant, ONE)
    waiting = asks(admission, "second", tenant)
    await settle()
    assert (admission.use("acme").sandboxes, admission.queued("acme")) == (2, 1)
    waiting.cancel()
    await settle()
    assert (admission.use("acme").sandboxes, admission.queued("acme")) == (1, 0)
    again = asks(admission, "third", tenant)
    await settle()
    admission.ended("first")
    await again


@pytest.mark.parametrize("leaves_first", [True, False])
async def test_who_leaves_in_the_moment_of_its_turn_passes_it_on(leaves_first: bool) -> None:
    admission = Admission(Limits(max_sandboxes=1))
    await admission.enter("first", ACME, ONE)
    leaver, next = asks(admission, "leaver", ACME), asks(admission, "next", OTHER)
    await settle()
    if leaves_first:
        leaver.cancel()
    admission.ended("first")
    leaver.cancel()
    await settle()
    assert leaver.cancelled()
    assert next.done()
    assert set(admission.count().granted) == {"next"}


async def test_a_server_that_stops_sends_everybody_home() -> None:
    admission = Admission(Limits(max_sandboxes=1))
    await admission.enter("first", ACME, ONE)
    waiting = asks(admission, "second", ACME)
    await settle()
    admission.close()
    with pytest.raises(Unavailable, match="stopping"):
        await waiting
    with pytest.raises(Unavailable, match="stopping"):
        await admission.enter("third", ACME, ONE)


async def test_want_of_memory_lets_creations_wait_until_there_is_some() -> None:
    available = 600
    admission = Admission(Limits(host_reserve_memory_mib=500), available_memory_mib=lambda: available)
    await admission.enter("first", ACME, ONE)
    waiting = asks(admission, "second", ACME)
    await settle()
    assert not waiting.done(), "the one that starts will need what is left"
    available = 10_000
    newcomer = asks(admission, "third", OTHER)
    await settle()
    assert not newcomer.done(), "it came later"
    await asyncio.wait_for(asyncio.gather(waiting, newcomer), 30)
    available = 100
    limits = Limits(host_reserve_memory_mib=500, create_queue_length=0)
    short = Admission(limits, available_memory_mib=lambda: available)
    with pytest.raises(LimitExceeded, match=r"100 MiB of memory left and keeps 500.*host_reserve_memory_mib"):
        await short.enter("fourth", ACME, ONE)


TENANTS = [
    Tenant("free"),
    Tenant("few", Quotas(max_sandboxes=3)),
    Tenant("thin", Quotas(max_cpus=1.1, max_memory_mib=3000)),
]
LIMITS = Limits(max_sandboxes=6, max_concurrent_creates=3, create_queue_length=4, create_queue_timeout_s=60)


class Hotel(RuleBasedStateMachine):
    """Whoever asks, leaves, starts, fails and ends, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.admission = Admission(LIMITS)
        self.asking: dict[str, asyncio.Task[None]] = {}
        self.wishes: dict[str, tuple[Tenant, Amounts]] = {}
        self.starting: set[str] = set()
        self.running: set[str] = set()
        self.born = 0

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def look(self) -> None:
        """See who was let in, and who refused."""
        self.run(settle())
        for id, task in list(self.asking.items()):
            if task.done():
                del self.asking[id]
                if task.cancelled() or task.exception() is not None:
                    del self.wishes[id]
                    assert task.cancelled() or isinstance(task.exception(), LimitExceeded)
                else:
                    self.starting.add(id)

    @rule(
        tenant=st.sampled_from(TENANTS),
        cpus=st.sampled_from([0.1, 0.3, 1.0]),
        memory=st.sampled_from([500, 1500]),
        many=st.integers(1, 4),
    )
    def ask(self, tenant: Tenant, cpus: float, memory: int, many: int) -> None:
        for _ in range(many):
            self.born += 1
            id, wish = f"{self.born}", Amounts.of(cpus, memory, 100)
            self.wishes[id] = (tenant, wish)
            self.asking[id] = self.loop.create_task(self.admission.enter(id, tenant, wish))
        self.look()

    @precondition(lambda self: self.asking)
    @rule(data=st.data(), at_its_turn=st.booleans())
    def leave(self, data: st.DataObject, at_its_turn: bool) -> None:
        if at_its_turn and self.starting:
            self.admission.started(first := min(self.starting))
            self.starting.discard(first)
            self.running.add(first)
        self.asking[data.draw(st.sampled_from(sorted(self.asking)))].cancel()
        self.look()

    @precondition(lambda self: self.starting)
    @rule(data=st.data(), well=st.booleans())
    def start(self, data: st.DataObject, well: bool) -> None:
        id = data.draw(st.sampled_from(sorted(self.starting)))
        self.starting.discard(id)
        if well:
            self.admission.started(id)
            self.running.add(id)
        else:
            self.admission.ended(id)
            del self.wishes[id]
        self.look()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), times=st.integers(1, 2))
    def end(self, data: st.DataObject, times: int) -> None:
        id = data.draw(st.sampled_from(sorted(self.running)))
        for _ in range(times):
            self.admission.ended(id)
        self.running.discard(id)
        del self.wishes[id]
        self.look()

    @rule()
    def restart(self) -> None:
        """What waits and what is half made is gone; what runs is taken up again."""
        self.admission.close()
        for task in self.asking.values():
            task.cancel()
        self.run(settle())
        self.asking.clear()
        self.starting.clear()
        self.admission = Admission(LIMITS)
        self.wishes = {id: wish for id, wish in self.wishes.items() if id in self.running}
        for id, (tenant, wish) in self.wishes.items():
            self.admission.restore(id, tenant.name, wish)

    @invariant()
    def the_books_are_right(self) -> None:
        count = self.admission.count()
        assert count.starting == self.starting
        assert set(count.granted) == self.starting | self.running
        assert sum(count.queued.values()) == len(self.asking)
        for tenant in TENANTS:
            wishes = [wish for whose, wish in self.wishes.values() if whose is tenant]
            assert self.admission.use(tenant.name) == sum(wishes, Amounts())

    @invariant()
    def nothing_is_exceeded(self) -> None:
        assert len(self.starting) <= LIMITS.max_concurrent_creates
        assert len(self.starting | self.running) <= LIMITS.max_sandboxes
        assert len(self.asking) <= LIMITS.create_queue_length
        for tenant in TENANTS:
            use, quotas = self.admission.use(tenant.name), tenant.quotas
            assert quotas.max_sandboxes is None or use.sandboxes <= quotas.max_sandboxes
            assert quotas.max_cpus is None or use.cpus <= quotas.max_cpus
            assert quotas.max_memory_mib is None or use.memory_mib <= quotas.max_memory_mib

    @invariant()
    def nobody_waits_beside_room(self) -> None:
        if self.asking:
            assert (
                len(self.starting) == LIMITS.max_concurrent_creates
                or len(self.starting | self.running) == LIMITS.max_sandboxes
            )

    def teardown(self) -> None:
        for task in self.asking.values():
            task.cancel()
        self.run(settle())
        self.loop.close()


Hotel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestHotel = Hotel.TestCase
