"""What is counted of every request, by operation: the name of the function that answers, never a path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from starlette.types import Scope

from sandlot.tally import Counts, Durations, Labels

LEFT: Final = "left"
"""In place of a status: the client went away before there was one."""

ABORTED: Final = "aborted"
"""In place of a status: the answer had begun and could not be ended."""


class Requests:
    """Of one application. ``seconds`` are until the head of the answer: until a command has started, until a
    terminal is open. ``code`` is there the class of the status, "2xx", and in ``total`` the status itself.
    """

    def __init__(self) -> None:
        self.seconds = Durations("operation", "code")
        self.total = Counts("operation", "code")
        self._open: dict[int, Scope] = {}

    def begin(self, scope: Scope) -> None:
        self._open[id(scope)] = scope

    def answered(self, scope: Scope, status: int, took_s: float) -> None:
        """The head of the answer is on its way."""
        self.seconds.observe(took_s, operation_of(scope), f"{status // 100}xx")

    def end(self, scope: Scope, code: str) -> None:
        self._open.pop(id(scope), None)
        self.total.add(operation_of(scope), code)

    def in_progress(self) -> Mapping[Labels, float]:
        """By operation: those being worked on, and the streams that are open. Only on the loop."""
        return {(name,): count for name, count in Counter(map(operation_of, self._open.values())).items()}


def operation_of(scope: Scope) -> str:
    """Known once the request has been routed; as few different ones as there are routes."""
    return getattr(scope.get("endpoint"), "__name__", "none")
