"""Three hundred kills, another program each time; the seed is printed where it fails."""

from __future__ import annotations

import random
from pathlib import Path

from tests.leftovers import Footprint

from .__main__ import rage

KILLS = 300


async def test_whatever_is_killed_whenever_nothing_is_lost_and_nothing_left(
    footprint: Footprint, tmp_path: Path
) -> None:
    kills = await rage(tmp_path, kills=KILLS, seed=random.randrange(1 << 32))
    assert sum(kills.values()) >= KILLS
    assert {
        "server",
        "server starting",
        "main process of gvisor",
        "main process of container",
    } <= kills.keys()
