"""A queue in which tenants take turns: first come, first served within each, one of each at a time."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """A tenant's long line does not make another's single wish wait for all of it."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def lengths(self) -> dict[str, int]:
        """By tenant, of those that have any."""
        return {tenant: len(line) for tenant, line in self._lines.items()}

    def join(self, tenant: str, item: T) -> None:
        self._lines.setdefault(tenant, deque()).append(item)
        self._length += 1

    def next(self) -> T:
        """Whose turn it is, taken out. Raises IndexError where nobody waits."""
        if not self._lines:
            raise IndexError("nobody waits")
        tenant, line = self._lines.popitem(last=False)
        item = line.popleft()
        if line:
            self._lines[tenant] = line
        self._length -= 1
        return item

    def leave(self, tenant: str, item: T) -> None:
        """Take ``item`` out wherever it stands, if it does."""
        line = self._lines.get(tenant)
        if line is None or item not in line:
            return
        line.remove(item)
        self._length -= 1
        if not line:
            del self._lines[tenant]
