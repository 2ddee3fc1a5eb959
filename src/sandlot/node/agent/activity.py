"""What the owner of a connection is told of its use, so that it may let a guest that has none stand still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

_NOTICED: ContextVar[bool] = ContextVar("noticed", default=True)


class Activity(Protocol):
    """``noticed`` is False for calls that are nobody's use of the sandbox: see :func:`unnoticed`."""

    def begin(self, *, noticed: bool) -> None:
        """A call begins: from now until its end the guest must run."""
        ...

    def end(self, *, noticed: bool) -> None: ...

    def stir(self) -> None:
        """Something is about to be sent that the guest must read."""
        ...


@contextmanager
def unnoticed() -> Iterator[None]:
    """Calls that are made in here are the house's own, asking whether the guest has anything to do, or
    measuring it: they do not make it look used.
    """
    token = _NOTICED.set(False)
    try:
        yield
    finally:
        _NOTICED.reset(token)


def is_noticed() -> bool:
    return _NOTICED.get()
