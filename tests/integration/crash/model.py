"""What must be true of each sandbox, as far as its user was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sandlot.core.lifecycle import TRANSITIONS, State

Event = dict[str, Any]


@dataclass
class Known:
    """A sandbox that was acknowledged, or was found after its creator had been told nothing.

    ``files`` has for each path all that may stand in it: several texts while a write was not acknowledged.
    ``may_end`` are the states in which it may have ended by what was done to it; empty while it must live.
    ``sleepy``: since it was last seen awake somebody wanted it paused. ``timed``: a deadline of which nobody
    was told may be set.
    """

    id: str
    tier: str
    files: dict[str, set[str | None]] = field(default_factory=dict)
    worker: int | None = None
    may_end: set[State] = field(default_factory=set)
    must_end: bool = False
    sleepy: bool = False
    timed: bool = False

    def hurt(self, state: State, *, deadly: bool) -> None:
        """Something was done that may end it, or must."""
        self.may_end.add(state)
        self.must_end = self.must_end or deadly

    def survived(self) -> None:
        self.may_end.clear()
        self.sleepy = False

    def writing(self, path: str, text: str) -> None:
        self.files.setdefault(path, {None}).add(text)

    def wrote(self, path: str, text: str) -> None:
        self.files[path] = {text}

    def compare(self, files: dict[str, str]) -> list[str]:
        """What is not as it may be. What was seen is what stands there from now on."""
        wrong = []
        for path, texts in self.files.items():
            seen = files.get(path)
            if seen not in texts:
                wrong.append(f"{self.id}: {path} holds {seen!r}, not one of {texts}")
            self.files[path] = {seen}
        return wrong


def explained(id: str, state: str, events: Sequence[Event]) -> list[str]:
    """What is wrong with a log: it must be a path through the life cycle, each step with a reason."""
    wrong = []
    at: str | None = None
    for event in events:
        if not event["reason"]:
            wrong.append(f"{id}: no reason for {event['kind']}")
        if event["to"] is None:
            continue
        if event["from"] != at or (at and event["to"] not in TRANSITIONS[State(at)]):
            wrong.append(f"{id}: {at} → {event['to_state']} ({event['kind']}) is no step of the life cycle")
        at = event["to"]
    if at != state:
        wrong.append(f"{id}: is {state}, and its log ends with {at}")
    return wrong
