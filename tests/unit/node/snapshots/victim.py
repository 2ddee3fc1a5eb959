"""Saves and deletes snapshots until it kills itself, at a given step: ``victim.py FOLDER STEP``.

Prints what it has finished, a line each.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from sandlot.node.snapshots import SnapshotStore
from tests.unit.node.snapshots.conftest import pages, save


def memory(number: int) -> bytes:
    """Of the ``number``-th snapshot: what came, went and moved since the one before."""
    return pages(*range(2000 - number, 2000), *range(1 + number, 60), 0, 0, *range(100, 140))


def main(folder: Path, last: int) -> None:
    store = SnapshotStore(folder / "store", reserve_bytes=0)
    steps = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal steps
        if event == "c_call":
            steps += 1
            if steps == last:
                os.kill(os.getpid(), signal.SIGKILL)

    save(store, folder / "work", "s0", {"pages.img": memory(0)})
    sys.setprofile(count)
    for number in range(1, 40):
        save(store, folder / "work", f"s{number}", {"pages.img": memory(number)}, like=f"s{number - 1}")
        os.write(1, f"saved {number}\n".encode())
        if number % 3 == 0:
            store.delete(f"s{number - 2}")
            os.write(1, f"deleted {number - 2}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
