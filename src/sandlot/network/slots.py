"""The pool: slots made ahead, handed out once, destroyed."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

import structlog
from pyroute2.netlink.exceptions import NetlinkError

from sandlot.errors import InvalidArgument, LimitExceeded, NotFound, SandlotError, Unavailable
from sandlot.network import firewall, netns
from sandlot.network.addresses import (
    DEFAULT_RANGE,
    AddressPlan,
    Ledger,
    NetworkSlot,
    check_instance,
    choose_block,
    slot_number,
)
from sandlot.network.dns import Forwarder, Resolvers
from sandlot.network.firewall import Firewall
from sandlot.network.links import Links, LinkWorker
from sandlot.network.policy import NetworkPolicy, parse_allow
from sandlot.network.watch import default_route_watch, table_watch
from sandlot.tally import Stock

log = structlog.get_logger(__name__)

REFILL_AFTER = 0.25  # seconds; by then the sandbox that took the slot has started and leaves processors over
FORGET_AFTER = 1.0  # seconds; removals within share the kernel's walks through all that it remembers
MAKERS = 3  # slots made at a time; most of it is waiting for the kernel
CLAIM_DEADLINE = 10.0
FIRST_RETRY = 0.25
LONGEST_RETRY = 30.0


@dataclass(frozen=True)
class _Retired:
    """A slot that is gone but for what the kernel remembers of it."""

    guest_ip: str
    netns: int | None

    def close(self) -> None:
        if self.netns is not None:
            os.close(self.netns)


class NetworkPool:
    """All network slots of one instance on this host.

    ``size`` slots stand ready; at most ``limit`` are handed out at a time. ``allow`` are networks (CIDR) that
    sandboxes with internet may reach although they are not public. ``address_range`` is where the instance's
    block of addresses is taken from at its first start.
    """

    def __init__(
        self,
        instance: str,
        state_dir: Path,
        *,
        size: int,
        limit: int = 1000,
        allow: Iterable[str] = (),
        address_range: IPv4Network = DEFAULT_RANGE,
        resolv_conf: Path = Path("/etc/resolv.conf"),
    ) -> None:
        check_instance(instance)
        self._instance = instance
        self._ledger_path = state_dir / "network.json"
        self._size = size
        self._limit = limit
        self._allow = parse_allow(allow)
        self._address_range = address_range
        self._resolvers = Resolvers(resolv_conf)
        self._own: dict[int, NetworkSlot] = {}  # being made, idle, claimed, being removed
        self._claimed: set[int] = set()
        self._strangers: dict[int, NetworkSlot] = {}  # found at the start, not adopted
        self._idle: deque[NetworkSlot] = deque()
        self._waiters: deque[asyncio.Future[NetworkSlot]] = deque()
        self._removals: dict[int, asyncio.Task[None]] = {}
        self._retired: dict[int, _Retired] = {}  # nobody gets their addresses yet
        self._forgetting: asyncio.Task[None] | None = None
        self._made = self._missed = 0
        self._numbering = asyncio.Lock()
        self._wake = asyncio.Event()
        self._stopping = False
        self._started = False

    async def start(self) -> None:
        """Take up what an earlier run left, and begin to fill the pool.

        Raises Unavailable when the host cannot do it (nft missing, no free addresses, port 53 taken).
        """
        self._stopping = False
        self._makers = [LinkWorker(f"network-make-{number}") for number in range(MAKERS)]
        self._maker = self._makers[0]
        self._remover = LinkWorker("network-remove")
        try:
            await self._prepare()
        except BaseException as error:
            await self._close_workers()
            if isinstance(error, (OSError, NetlinkError)):
                raise Unavailable(f"this host's network cannot be set up: {error}") from error
            raise
        self._started = True
        self._watches = (
            table_watch(self._firewall.table, self._repair_firewall),
            default_route_watch(self._forward_uplink),
        )
        for watch in self._watches:
            watch.start()
        self._keeper = asyncio.create_task(self._keep_stocked(), name="network slot maker")

    async def _prepare(self) -> None:
        await asyncio.to_thread(netns.prepare)
        self._ledger = await asyncio.to_thread(Ledger.load, self._ledger_path)
        numbers = await self._maker.call(Links.slots, self._instance)
        self._plan = await self._maker.call(
            _settle_block,
            self._ledger,
            self._instance,
            self._address_range,
            await self._resolvers.current(),
            numbers,
        )
        if self._limit > self._plan.capacity:
            raise InvalidArgument(
                f"a server can have at most {self._plan.capacity} network slots, not {self._limit}"
            )
        self._strangers = {number: self._plan.slot(number) for number in numbers}
        self._firewall = Firewall(self._plan, self._allow)
        await self._firewall.start(self._strangers.values())
        await self._forget_former()
        await self._forward_uplink()
        for chain, lacking in await firewall.foreign_drops():
            log.warning(
                f"another firewall drops packets by default: sandboxes have no {lacking} unless it lets "
                f"interfaces sl{self._instance}-* pass (see docs/network.md)",
                chain=chain,
            )
        self._dns = Forwarder(str(self._plan.gateway), self._firewall.allows_internet, self._resolvers)
        await self._dns.start()
        log.info("network ready", block=str(self._plan.block), slots_found=len(numbers))

    async def stop(self) -> None:
        """Idle slots go, claimed ones stay as they are."""
        if not self._started:
            return
        self._started = False
        self._stopping = True
        self._wake.set()
        for watch in self._watches:
            await watch.stop()
        await self._keeper
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(Unavailable("the server is stopping"))
        while self._idle:
            self._begin_removal(self._idle.popleft())
        await asyncio.gather(*self._removals.values(), return_exceptions=True)
        if self._forgetting is not None:
            self._forgetting.cancel()
            await asyncio.wait([self._forgetting])
            self._forgetting = None
        await self._forget_now()
        await self._dns.stop()
        await self._firewall.stop()
        await self._close_workers()
        for retired in self._retired.values():
            retired.close()
        self._retired.clear()
        self._own.clear()
        self._claimed.clear()
        self._strangers.clear()

    async def teardown(self) -> None:
        """Remove everything of this instance from the host. Works on a pool that was not started, too."""
        await self.stop()
        worker = LinkWorker("network-teardown")
        try:
            ledger = await asyncio.to_thread(Ledger.load, self._ledger_path)
            plan = AddressPlan(self._instance, ledger.block or self._address_range)
            slots = [plan.slot(number) for number in sorted(await worker.call(Links.slots, self._instance))]
            for slot in slots:
                await worker.call(Links.remove, slot)
            if slots:
                await worker.call(Links.forget_connections, [slot.guest_ip for slot in slots])
            await firewall.drop_table(self._instance)
            if ledger.block is not None:
                await worker.call(Links.let_go_of_block, plan)
            if ledger.forwarding and not await firewall.tables():
                for interface in ledger.forwarding:
                    await worker.call(Links.disable_forwarding, interface)
                    log.info("IPv4 forwarding switched off again", interface=interface)
                ledger.forwarding = []
                await asyncio.to_thread(ledger.save)
        finally:
            await worker.close()

    # what callers do with slots

    async def claim(self, policy: NetworkPolicy) -> NetworkSlot:
        """Raises LimitExceeded, or Unavailable when no slot can be made."""
        self._check_started()
        if len(self._claimed) + len(self._strangers) + len(self._waiters) >= self._limit:
            raise LimitExceeded(f"all {self._limit} network slots of this server are in use")
        slot = await self._take()
        self._claimed.add(self._number(slot))
        try:
            await self._firewall.set_internet(slot, policy.internet)
        except BaseException:
            self._begin_removal(slot)
            raise
        return slot

    async def adopt(self, name: str, policy: NetworkPolicy) -> NetworkSlot:
        """A slot that an earlier run of the server handed out. Raises NotFound when gone or damaged."""
        self._check_started()
        number = slot_number(self._instance, name)
        if number is None or number not in self._strangers.keys() | self._claimed:
            raise NotFound(f"there is no network slot {name}")
        slot = self._plan.slot(number)
        if number in self._strangers:
            if not await self._maker.call(Links.is_whole, slot):
                raise NotFound(f"network slot {name} is damaged")
            if self._strangers.pop(number, None) is None:
                raise NotFound(f"network slot {name} was just removed")
            self._own[number] = slot
            self._claimed.add(number)
        await self._firewall.set_internet(slot, policy.internet)
        return slot

    async def set_policy(self, slot: NetworkSlot, policy: NetworkPolicy) -> None:
        """In force when this returns; with internet switched off, existing connections are cut too."""
        self._check_claimed(slot)
        await self._firewall.set_internet(slot, policy.internet)
        if not policy.internet:
            await self._remover.call(Links.forget_connections, [slot.guest_ip])

    async def readdress(self, slot: NetworkSlot) -> None:
        """Put address and route back: runsc takes them off the interface at every run and restore."""
        self._check_claimed(slot)
        await self._maker.call(Links.readdress, slot)

    async def counters(self, slot: NetworkSlot) -> tuple[int, int]:
        """Bytes received and sent, as the guest sees them."""
        self._check_claimed(slot)
        return await self._maker.call(Links.counters, slot)

    def stock(self) -> Stock:
        return Stock(len(self._idle), len(self._claimed), self._made, self._missed)

    async def release(self, name: str) -> None:
        """Destroy the slot, whoever made it. Idempotent; goes on to its end when the caller is cancelled."""
        self._check_started()
        if (number := slot_number(self._instance, name)) is None:
            return
        if number in self._claimed or number in self._strangers:
            self._begin_removal(self._plan.slot(number))
        if removal := self._removals.get(number):
            await asyncio.shield(removal)

    async def sweep(self, keep: set[str]) -> list[str]:
        """Remove what earlier runs left, but for the slots named in ``keep``. Returns the names removed.

        Slots that this pool made or adopted are not leftovers.
        """
        self._check_started()
        kept = {slot_number(self._instance, name) for name in keep}
        found = await self._remover.call(Links.slots, self._instance)
        numbers = (found | self._strangers.keys()) - self._own.keys() - kept
        leftovers = [self._plan.slot(number) for number in sorted(numbers)]
        for slot in leftovers:
            self._begin_removal(slot)
        outcomes = await asyncio.gather(
            *(asyncio.shield(self._removals[self._number(slot)]) for slot in leftovers),
            return_exceptions=True,
        )
        return [slot.name for slot, failure in zip(leftovers, outcomes, strict=True) if failure is None]

    # making and removing

    async def _take(self) -> NetworkSlot:
        if self._idle:
            found = self._idle.popleft()
            asyncio.get_running_loop().call_later(REFILL_AFTER if self._idle else 0, self._wake.set)
            return found
        self._missed += 1
        waiter: asyncio.Future[NetworkSlot] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        try:
            async with asyncio.timeout(CLAIM_DEADLINE):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._offer(waiter.result())
            if isinstance(error, TimeoutError):
                raise Unavailable(f"no network slot could be made within {CLAIM_DEADLINE:g} s") from error
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _offer(self, slot: NetworkSlot) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(slot)
                return
        self._idle.append(slot)

    async def _keep_stocked(self) -> None:
        delay = FIRST_RETRY
        while not self._stopping:
            self._wake.clear()
            if (lacking := self._lacking()) == 0:
                await self._wake.wait()
                continue
            making = [self._make_and_offer(maker) for maker in self._makers[:lacking]]
            outcomes = await asyncio.gather(*making, return_exceptions=True)
            if failed := [error for error in outcomes if isinstance(error, Exception)]:
                log.warning("no network slot could be made", error=str(failed[0]), retry_in=delay)
                self._fail_waiters(failed[0])
                await self._pause(delay)
                delay = min(2 * delay, LONGEST_RETRY)
            else:
                delay = FIRST_RETRY

    async def _make_and_offer(self, maker: LinkWorker) -> None:
        slot = await self._make(maker)
        self._made += 1
        self._offer(slot)

    def _lacking(self) -> int:
        handed_out = len(self._claimed) + len(self._strangers)
        wanted = min(self._size + len(self._waiters), self._limit - handed_out)
        return max(0, wanted - len(self._idle))

    async def _pause(self, delay: float) -> None:
        """Ends early when a claim comes, or the stop."""
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _fail_waiters(self, error: Exception) -> None:
        reason = (
            error
            if isinstance(error, SandlotError)
            else Unavailable(f"no network slot could be made: {error}")
        )
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(reason)

    async def _make(self, maker: LinkWorker) -> NetworkSlot:
        async with self._numbering:
            used = self._own.keys() | self._strangers.keys()
            number = await asyncio.to_thread(self._ledger.take_number, self._plan, used)
            slot = self._own[number] = self._plan.slot(number)
        try:
            await maker.call(Links.make, slot)
            # Nothing runs in it yet, so it may be let out already: a claim then has nothing to wait for.
            await self._firewall.add(slot, internet=True)
        except BaseException:
            self._begin_removal(slot)
            raise
        return slot

    def _begin_removal(self, slot: NetworkSlot) -> None:
        number = self._number(slot)
        self._claimed.discard(number)
        self._strangers.pop(number, None)
        self._own[number] = slot
        if number not in self._removals:
            self._removals[number] = asyncio.create_task(
                self._remove(number, slot), name=f"remove {slot.name}"
            )

    async def _remove(self, number: int, slot: NetworkSlot) -> None:
        try:
            self._retired[number] = _Retired(slot.guest_ip, await self._remover.call(Links.retire, slot))
            await self._firewall.remove(slot)
        except Exception as error:
            log.warning("network slot not removed, left to the next sweep", slot=slot.name, error=str(error))
            if (retired := self._retired.pop(number, None)) is not None:
                retired.close()
            self._strangers[number] = slot
            del self._own[number]
            raise
        else:
            if self._forgetting is None:
                self._forgetting = asyncio.create_task(self._forget(), name="forget network slots")
        finally:
            del self._removals[number]
            self._wake.set()

    async def _forget(self) -> None:
        """Those that are removed within ``FORGET_AFTER`` share one walk."""
        while self._retired:
            await asyncio.sleep(FORGET_AFTER)
            await self._forget_now()
        self._forgetting = None

    async def _forget_now(self) -> None:
        """What fails is tried again; until then nobody gets the addresses."""
        gone = {number: slot for number, slot in self._retired.items() if number not in self._removals}
        if not gone:
            return
        try:
            await self._remover.call(Links.forget_connections, [slot.guest_ip for slot in gone.values()])
        except OSError as error:
            log.warning("connections of removed slots are not forgotten yet", error=str(error))
            return
        for number, slot in gone.items():
            slot.close()
            del self._retired[number], self._own[number]

    async def _forget_former(self) -> None:
        """Those of slots that a former server removed, which a crash may have kept it from forgetting."""
        if self._ledger.reserved:
            held = {slot.guest_ip for slot in self._strangers.values()}
            free = [str(address) for address in self._plan.block if str(address) not in held]
            await self._remover.call(Links.forget_connections, free)

    # the host

    async def _repair_firewall(self) -> None:
        if await self._firewall.repair():
            log.warning("somebody changed our nft table, made it anew", table=self._firewall.table)

    async def _forward_uplink(self) -> None:
        """Forwarding is needed on the interface by which answers come in; on slots it is always on."""
        interface = await self._maker.call(Links.uplink)
        if interface is None or not await self._maker.call(Links.enable_forwarding, interface):
            return
        log.info("IPv4 forwarding switched on for this interface", interface=interface)
        if interface not in self._ledger.forwarding:
            self._ledger.forwarding.append(interface)
            await asyncio.to_thread(self._ledger.save)

    async def _close_workers(self) -> None:
        for worker in (*self._makers, self._remover):
            await worker.close()

    def _number(self, slot: NetworkSlot) -> int:
        number = slot_number(self._instance, slot.name)
        if number is None:
            raise InvalidArgument(f"{slot.name} is not a network slot of this server")
        return number

    def _check_started(self) -> None:
        if not self._started:
            raise Unavailable("the network pool is not running")

    def _check_claimed(self, slot: NetworkSlot) -> None:
        self._check_started()
        if self._number(slot) not in self._claimed:
            raise NotFound(f"network slot {slot.name} is not in use")


def _settle_block(
    links: Links,
    ledger: Ledger,
    instance: str,
    within: IPv4Network,
    resolvers: Iterable[str],
    live: Collection[int],
) -> AddressPlan:
    """The instance's block: the one it has, unless a reboot came between and somebody else has taken it.

    Resolvers often live in a private network behind the default route, so theirs count as taken.
    """
    with netns.host_lock():
        if ledger.block is not None:
            plan = AddressPlan(instance, ledger.block)
            if live or links.holds_block(plan):
                links.hold_block(plan)
                return plan
        taken = links.taken_networks() + _networks_around(resolvers)
        if ledger.block is None or any(ledger.block.overlaps(network) for network in taken):
            ledger.block = choose_block(instance, within, taken)
            ledger.save()
            log.info("network block chosen", block=str(ledger.block))
        plan = AddressPlan(instance, ledger.block)
        links.hold_block(plan)
        return plan


def _networks_around(addresses: Iterable[str]) -> list[IPv4Network]:
    return [IPv4Network(f"{address}/24", strict=False) for address in addresses if ":" not in address]
