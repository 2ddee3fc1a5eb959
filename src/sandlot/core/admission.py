"""Who may make a sandbox now, who waits, and who is refused: quotas, the machine's room, and the queue."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sandlot.core.limits import Limits
from sandlot.core.quotas import RETRY_AFTER_S, Amounts, check_use
from sandlot.core.rates import Rates
from sandlot.core.turns import Turns
from sandlot.errors import LimitExceeded, SandlotError, Unavailable
from sandlot.store import Tenant

_NEEDED_TO_START_MIB: Final = 64
"""What a sandbox takes before its first command does: runtime, agent and their page tables."""
_LOOK_AGAIN_S: Final = 0.5
"""Memory becomes free without a word, so where it is short somebody must look."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """What the machine lacks for one more sandbox."""

    limit: str
    in_use: int
    allowed: int
    words: str


@dataclass(frozen=True, slots=True)
class _Booking:
    tenant: str
    amounts: Amounts
    rests: bool = False
    """It is paused."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What is admitted or waits, and who was refused what, as of now."""

    use: Mapping[str, Amounts]
    """By tenant; those that wait are in it."""
    queued: Mapping[str, int]
    starting: frozenset[str]
    granted: Mapping[str, str]
    """Sandboxes that were let in and did not end: id and tenant. Paused ones are not among them."""
    paused: Mapping[str, int]
    """By tenant."""
    refusals: Mapping[tuple[str, str], int]
    """Since the server started: tenant and limit."""


class Admission:
    """Whoever enters is booked on its tenant until it has ended; the books are exact at every moment.

    A tenant over its own quota is refused at once: only it can change that. Where the machine is full, what
    its quota allows waits, bounded in number and in time. Tenants take turns, so that one that asks for two
    hundred does not hold up another that asks for one.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        available_memory_mib: Callable[[], int] | None = None,
        make_room: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``available_memory_mib``: what the machine could still give; without it memory is no reason.

        ``make_room`` is called where somebody waits who ``wants_room``.
        """
        self._limits = limits
        self._make_room = make_room
        self._available_memory_mib = available_memory_mib
        self._rates = Rates(clock)
        self._booked: dict[str, _Booking] = {}
        self._use: defaultdict[str, Amounts] = defaultdict(Amounts)
        self._granted: set[str] = set()
        self._starting: set[str] = set()
        self._along: set[str] = set()
        """Of those that start: the ones that do not keep others from starting."""
        self._turns: Turns[tuple[str, asyncio.Future[None]]] = Turns()
        self._refusals: Counter[tuple[str, str]] = Counter()
        self._look_again: asyncio.TimerHandle | None = None
        self._closed = False

    async def enter(self, id: str, tenant: Tenant, wish: Amounts, *, made: bool = False) -> None:
        """Returns when the sandbox ``id`` may be made; then ``started`` and, at last, ``ended`` are owed.

        One that rests may run again when this returns; what it holds already is not counted twice, and where
        that is its memory it waits for nothing.

        One that is ``made`` already needs only a place: it waits behind nobody who waits for anything else.

        Raises LimitExceeded that says which limit and whose, and Unavailable when the server stops. Who is
        refused or cancelled owes nothing.
        """
        if self._closed:
            raise _stopping()
        before, stands = self._booked.get(id), id in self._granted
        try:
            check_use(tenant, self.use(tenant.name), wish - before.amounts if before else wish)
            if not stands and not (made := made and self.places() > 0):
                self._check_queue(tenant)
            if before is None:
                self._rates.take(tenant)
        except LimitExceeded as error:
            self._refusals[tenant.name, error.details["limit"]] += 1
            raise
        self._book(id, tenant.name, wish)
        if stands:
            return
        if made:
            self._let_in(id)
            self._along.add(id)
            return
        try:
            await self._turn(id, tenant)
        except BaseException:
            if before is None:
                self.ended(id)
            else:
                self.rest(id, before.tenant, before.amounts, stands=False)
            raise

    def join(self, id: str, tenant: Tenant, wish: Amounts) -> None:
        """For one that is made along with another that was let in: it takes no turn, and waits for nothing.

        Raises as ``enter`` does; the same is owed.
        """
        if self._closed:
            raise _stopping()
        try:
            check_use(tenant, self.use(tenant.name), wish)
            if self._place_shortage() is not None:
                raise self._full(tenant, "what is made along with others does not wait")
            self._rates.take(tenant)
        except LimitExceeded as error:
            self._refusals[tenant.name, error.details["limit"]] += 1
            raise
        self._book(id, tenant.name, wish)
        self._let_in(id)
        self._along.add(id)

    def hold(self, id: str, tenant: str, amounts: Amounts) -> None:
        """Something of a tenant's that is no sandbox that runs: it counts until it has ``ended``."""
        self._book(id, tenant, amounts)

    def restore(self, id: str, tenant: str, amounts: Amounts, *, stands: bool = True) -> None:
        """One that a former server had let in, and that runs or at least ``stands`` in memory."""
        self._book(id, tenant, amounts)
        if stands:
            self._granted.add(id)

    def rest(self, id: str, tenant: str, amounts: Amounts, *, stands: bool) -> None:
        """It is paused, and goes on holding no more than ``amounts``, and its place where it ``stands`` in
        memory. For it to run again it must ``enter``; ``ended`` is still owed. Nothing happens to one that
        has ended.
        """
        if id not in self._booked:
            return
        self._book(id, tenant, amounts, rests=True)
        if not stands:
            self._granted.discard(id)
        self.started(id)

    def wants_room(self) -> bool:
        """Whether what only rests in memory should make room, for others or for the machine itself."""
        if self._turns and self._place_shortage() is not None:
            return True
        return self._memory_shortage() is not None

    def rename(self, id: str, other: str) -> None:
        """Who was let in as ``id`` becomes ``other``."""
        self._booked[other] = self._booked.pop(id)
        for ids in (self._granted, self._starting, self._along):
            if id in ids:
                ids.remove(id)
                ids.add(other)

    def started(self, id: str) -> None:
        """It runs, or never will: another may start."""
        self._starting.discard(id)
        self._along.discard(id)
        self._grant()

    def ended(self, id: str) -> None:
        """Nothing of it is left. Later calls do nothing."""
        if id in self._booked:
            self._unbook(id)
            self._granted.discard(id)
            self.started(id)

    def use(self, tenant: str) -> Amounts:
        """What a tenant has and waits for."""
        return self._use.get(tenant, Amounts())

    @property
    def starting(self) -> int:
        """How many are being made."""
        return len(self._starting)

    def places(self) -> int:
        """How many more sandboxes there may be."""
        return self._limits.max_sandboxes - len(self._granted)

    def makers(self) -> int:
        """How many more may be made at once for nobody: none while somebody waits."""
        if self._turns or self._closed:
            return 0
        return self._limits.max_concurrent_creates - (len(self._starting) - len(self._along))

    def queued(self, tenant: str) -> int:
        return self._turns.lengths().get(tenant, 0)

    def count(self) -> Counted:
        return Counted(
            use=dict(self._use),
            queued=self._turns.lengths(),
            starting=frozenset(self._starting),
            granted={id: self._booked[id].tenant for id in self._granted if not self._booked[id].rests},
            paused=Counter(booking.tenant for booking in self._booked.values() if booking.rests),
            refusals=dict(self._refusals),
        )

    def close(self) -> None:
        """Nobody is let in any more; who waits is told so."""
        self._closed = True
        if self._look_again is not None:
            self._look_again.cancel()
        while self._turns:
            _, turn = self._turns.next()
            if not turn.done():
                turn.set_exception(_stopping())

    # ── the queue ────────────────────────────────────────────────────────────────────────────────────

    async def _turn(self, id: str, tenant: Tenant) -> None:
        if not self._must_wait():
            self._let_in(id)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.join(tenant.name, (id, turn))
        if self._place_shortage() is not None:
            self._make_room()
        self._watch_memory()
        try:
            async with asyncio.timeout(self._limits.create_queue_timeout_s):
                await turn
        except TimeoutError:
            waited = f"waited {self._limits.create_queue_timeout_s:g} s (create_queue_timeout_s)"
            error = self._full(tenant, waited)
            self._refusals[tenant.name, error.details["limit"]] += 1
            raise error from None
        finally:
            self._turns.leave(tenant.name, (id, turn))

    def _must_wait(self) -> bool:
        return bool(self._turns) or self._shortage() is not None

    def _check_queue(self, tenant: Tenant) -> None:
        length = self._limits.create_queue_length
        if len(self._turns) >= length and self._must_wait():
            waiting = f"as many creations wait as may, which is {length} (create_queue_length)"
            raise self._full(tenant, waiting if length else "there is no queue (create_queue_length is 0)")

    def _grant(self) -> None:
        """Let in as many of those who wait as there is room for."""
        while self._turns and not self._closed and self._shortage() is None:
            id, turn = self._turns.next()
            if not turn.done():
                self._let_in(id)
                turn.set_result(None)
        self._watch_memory()

    def _let_in(self, id: str) -> None:
        self._granted.add(id)
        self._starting.add(id)

    def _watch_memory(self) -> None:
        if self._available_memory_mib is None or self._look_again is not None:
            return
        if self._turns and not self._closed:
            self._look_again = asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._look)

    def _look(self) -> None:
        self._look_again = None
        self._grant()

    def _book(self, id: str, tenant: str, amounts: Amounts, *, rests: bool = False) -> None:
        self._unbook(id)
        self._booked[id] = _Booking(tenant, amounts, rests)
        self._use[tenant] += amounts

    def _unbook(self, id: str) -> None:
        if (booking := self._booked.pop(id, None)) is None:
            return
        left = self._use[booking.tenant] - booking.amounts
        if left != Amounts():
            self._use[booking.tenant] = left
        else:
            del self._use[booking.tenant]

    # ── the machine ──────────────────────────────────────────────────────────────────────────────────

    def _shortage(self) -> Shortage | None:
        """Why no sandbox may be started now; the gravest reason, where there are several."""
        return self._place_shortage() or self._maker_shortage()

    def _place_shortage(self) -> Shortage | None:
        """Why there may not be one more."""
        limits = self._limits
        if len(self._granted) >= limits.max_sandboxes:
            words = f"it runs as many sandboxes as it may, which is {limits.max_sandboxes} (max_sandboxes)"
            return Shortage("max_sandboxes", len(self._granted), limits.max_sandboxes, words)
        return self._memory_shortage()

    def _maker_shortage(self) -> Shortage | None:
        """Why not one more may be made at the same time."""
        starting, allowed = len(self._starting) - len(self._along), self._limits.max_concurrent_creates
        if starting < allowed:
            return None
        words = f"it makes as many sandboxes at once as it may, which is {allowed} (max_concurrent_creates)"
        return Shortage("max_concurrent_creates", starting, allowed, words)

    def _memory_shortage(self) -> Shortage | None:
        if self._available_memory_mib is None:
            return None
        kept = self._limits.host_reserve_memory_mib
        available = self._available_memory_mib() - len(self._starting) * _NEEDED_TO_START_MIB
        if available >= kept + _NEEDED_TO_START_MIB:
            return None
        words = f"its machine has {max(0, available)} MiB of memory left and keeps {kept} of them"
        return Shortage("host_reserve_memory_mib", available, kept, f"{words} (host_reserve_memory_mib)")

    # ── refusing ─────────────────────────────────────────────────────────────────────────────────────

    def _full(self, tenant: Tenant, words: str) -> LimitExceeded:
        # Room that is found just now is for those who stand in front: for this one it was the queue.
        lack = self._shortage() or Shortage(
            "create_queue_length",
            len(self._turns),
            self._limits.create_queue_length,
            "others were before this one",
        )
        return LimitExceeded(
            f"the server is full: {lack.words}. This creation of tenant {tenant.name!r} found no room:"
            f" {words}; kill a sandbox, or try again in a while",
            limit=lack.limit,
            scope="server",
            tenant=tenant.name,
            in_use=lack.in_use,
            allowed=lack.allowed,
            retry_after_s=RETRY_AFTER_S,
        )


def _stopping() -> SandlotError:
    return Unavailable("the server is stopping; sandboxes go on, and the next start finds them")
