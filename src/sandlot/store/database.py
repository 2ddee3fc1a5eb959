"""One connection pool, used from worker threads so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, ProgrammingError

from sandlot.errors import NotEnoughSpace, Unavailable
from sandlot.tally import Durations

T = TypeVar("T")
_DAMAGED = ("malformed", "not a database")

SECONDS = Durations()
"""Of transactions, the wait for their turn included."""


def sqlite_url(path: Path) -> str:
    """The address of an SQLite file."""
    return f"sqlite:///{path}"


class Database:
    """Runs one function per transaction, off the loop.

    SQLite has a single writer, so it gets a single thread: a queue in front of it is cheaper than lock
    retries. The log is write-ahead with ``synchronous=NORMAL``: a committed transaction survives
    ``kill -9``; a power cut may lose the last ones, but then the sandboxes they describe are gone too.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._sqlite = url.startswith("sqlite")
        self._engine = _engine(url, sqlite=self._sqlite)
        self._threads = ThreadPoolExecutor(1 if self._sqlite else 8, thread_name_prefix="sandlot-sql")

    async def open(self) -> None:
        """Bring the schema to the newest revision. Raises Unavailable when the file cannot be used."""
        await self._submit(self._migrate)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._engine.dispose)

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one transaction. Cancelling the caller does not stop it half-way."""
        with SECONDS.timed():
            return await asyncio.shield(self._submit(self._transaction, work))

    def _submit(self, call: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except (DataError, IntegrityError, ProgrammingError):
            raise  # our own mistake, not the database's state
        except DatabaseError as error:
            raise _plain(error) from error

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        try:
            with self._engine.begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except DatabaseError as error:
            raise _plain(error) from error


def _engine(url: str, *, sqlite: bool) -> Engine:
    if not sqlite:
        return create_engine(url, pool_size=8, max_overflow=0, pool_timeout=10)
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": 10})

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=10000"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _plain(error: DatabaseError) -> Exception:
    text = str(error.orig)
    if any(sign in text for sign in _DAMAGED):
        return Unavailable(f"the server's database is damaged: {text}; docs/lifecycle.md says what to do")
    if "full" in text:
        return NotEnoughSpace(f"the server's database cannot grow: {text}; free space on the server's disk")
    return Unavailable(f"the server's database does not answer: {text}")
