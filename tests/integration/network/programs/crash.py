"""A server killed while it makes a slot: INSTANCE STATE_DIR PLACE. Says the names of its claimed slots."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import sandlot.network.links
import sandlot.network.netns
from sandlot.network import NetworkPolicy, NetworkPool


def die(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)


async def main():
    pool = NetworkPool(sys.argv[1], Path(sys.argv[2]), size=1)
    await pool.start()
    for _ in range(2):
        print((await pool.claim(NetworkPolicy())).name, flush=True)
    place = sys.argv[3]
    if place == "named":
        sandlot.network.netns.in_own_thread = die
    elif place == "cabled":
        sandlot.network.links._set_up_host_side = die
    else:
        pool._firewall.add = die
    await pool.claim(NetworkPolicy())
    await pool.claim(NetworkPolicy())
    await asyncio.sleep(10)


asyncio.run(main())
