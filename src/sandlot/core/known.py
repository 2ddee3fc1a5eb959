"""Commands that are known without asking their guest: input for one need not wait for the list of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_KNOWN: Final = 4096


@dataclass(frozen=True, slots=True)
class KnownCommand:
    """What of a command does not change. It may have ended since."""

    id: int
    pid: int
    terminal: bool


class KnownCommands:
    """Of one sandbox; the newest ones. Its agent uses no id twice and counts them up, pids come again."""

    def __init__(self) -> None:
        self._by_id: dict[int, KnownCommand] = {}
        self._by_pid: dict[int, KnownCommand] = {}

    def add(self, command: KnownCommand) -> None:
        if command.id in self._by_id:
            return
        self._by_id[command.id] = command
        newest = self._by_pid.get(command.pid)
        if newest is None or newest.id < command.id:
            self._by_pid[command.pid] = command
        if len(self._by_id) > MAX_KNOWN:
            self._forget(next(iter(self._by_id)))

    def by_id(self, id: int) -> KnownCommand | None:
        return self._by_id.get(id)

    def by_pid(self, pid: int) -> KnownCommand | None:
        """The newest that had this number."""
        return self._by_pid.get(pid)

    def _forget(self, id: int) -> None:
        command = self._by_id.pop(id)
        if self._by_pid.get(command.pid) is command:
            del self._by_pid[command.pid]
