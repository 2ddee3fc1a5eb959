from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.core.interpreter.local_guest import LocalGuest


@pytest.fixture
async def guest() -> AsyncIterator[LocalGuest]:
    guest = LocalGuest()
    yield guest
    await guest.close()
