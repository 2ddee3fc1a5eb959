"""A whole server as a process of its own, with an engine in memory under it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from sandlot.server import run
from sandlot.server.backend import Backend, database_of
from sandlot.server.settings import Settings, load
from tests.unit.doors.fake_engine import FakeEngine


class StubbornEngine(FakeEngine):
    async def stop(self) -> None:
        await asyncio.Event().wait()


def main(kind: str) -> int:
    engine: Any = StubbornEngine() if kind == "stubborn" else FakeEngine()
    if kind == "failing":
        engine.start_failure = RuntimeError("the disk is upside down")

    def of(settings: Settings, **hooks: Any) -> Backend:
        return Backend(engine, database_of(settings), **hooks)

    Backend.of = of  # type: ignore[method-assign, assignment]
    return run.serve(load())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
