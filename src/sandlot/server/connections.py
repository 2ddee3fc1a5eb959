"""How many connections there may be, and which one gives way to a new one when there is no more room."""

from __future__ import annotations

from typing import Protocol


class Connection(Protocol):
    def give_way(self) -> None:
        """Close, so that another has its place."""


class Connections:
    """Room for ``most``.

    Those on which nobody has shown a key yet give way first, the oldest first: strangers keep nobody out.
    After them those of key holders on which nothing is asked, who connect again at little cost. One with a
    request of a key holder on it never does.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._strangers: dict[Connection, None] = {}
        self._resting: dict[Connection, None] = {}

    def admit(self, connection: Connection, held: int) -> bool:
        """Whether there is room for one more beside ``held``, made where there was none."""
        if held >= self._most and not (_first_gives_way(self._strangers) or _first_gives_way(self._resting)):
            return False
        self._strangers[connection] = None
        return True

    def recognise(self, connection: Connection) -> None:
        """Somebody has shown a key on it."""
        self._strangers.pop(connection, None)

    def rest(self, connection: Connection) -> None:
        """Nothing is asked on it for now."""
        if connection not in self._strangers:
            self._resting[connection] = None

    def work(self, connection: Connection) -> None:
        """Something is asked on it."""
        self._resting.pop(connection, None)

    def forget(self, connection: Connection) -> None:
        self._strangers.pop(connection, None)
        self._resting.pop(connection, None)


def _first_gives_way(connections: dict[Connection, None]) -> bool:
    first = next(iter(connections), None)
    if first is None:
        return False
    del connections[first]
    first.give_way()
    return True
