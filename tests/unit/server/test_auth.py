from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandlot.errors import Unauthenticated, Unavailable
from sandlot.server.auth import ASK_MOST, REMEMBER_MOST, REMEMBER_S, Authenticator
from sandlot.store import Database, KeyStore, Tenant, sqlite_url


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class CountingKeys(KeyStore):
    asked = 0

    async def holder(self, key: str) -> Tenant | None:
        self.asked += 1
        return await super().holder(key)


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[CountingKeys]:
    database = Database(sqlite_url(tmp_path / "db"))
    await database.open()
    yield CountingKeys(database)
    await database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def authenticate(keys: CountingKeys, clock: Clock) -> AsyncIterator[Authenticator]:
    authenticate = Authenticator(keys, clock=clock)
    yield authenticate
    await authenticate.close()


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (None, "sandlot keys create"),
        ("", "40 characters"),
        ("sl_" + "A" * 40, "40 characters"),
        ("sl_" + "0" * 41, "40 characters"),
        ("sl_" + "0" * 40, "nobody holds"),
        ("sl_\udcff", "40 characters"),
    ],
)
async def test_what_is_wrong_is_said(authenticate: Authenticator, key: str | None, says: str) -> None:
    with pytest.raises(Unauthenticated, match=says):
        await authenticate(key)


async def test_a_key_is_looked_up_once_a_second(
    authenticate: Authenticator, keys: CountingKeys, clock: Clock
) -> None:
    _, key = await keys.create("one")
    await asyncio.gather(*(authenticate(key) for _ in range(50)))
    await authenticate(key)
    assert keys.asked == 1
    clock.now = REMEMBER_S
    await authenticate(key)
    assert keys.asked == 2


async def test_a_revoked_key_ends_within_a_second(
    authenticate: Authenticator, keys: CountingKeys, clock: Clock
) -> None:
    info, key = await keys.create("one")
    await authenticate(key)
    await keys.revoke(info.id)
    clock.now = REMEMBER_S
    with pytest.raises(Unauthenticated, match="revoked"):
        await authenticate(key)


async def test_what_is_asked_at_once_is_bounded(authenticate: Authenticator) -> None:
    guesses = (authenticate(f"sl_{number:040x}") for number in range(ASK_MOST + 1))
    answers = await asyncio.gather(*guesses, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unauthenticated] * ASK_MOST + [Unavailable]


async def test_what_is_remembered_is_bounded(authenticate: Authenticator) -> None:
    for number in range(REMEMBER_MOST + 10):
        authenticate._remember(str(number), 1.0, Tenant("default"))
    assert len(authenticate._known) == REMEMBER_MOST
