"""The life of a sandbox: its states, the only ways from one to another, and what its event log says of each.

docs/lifecycle.md is generated from this by script/generate-lifecycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    CREATING = "creating"
    RUNNING = "running"
    KILLING = "killing"
    KILLED = "killed"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return not TRANSITIONS[self]


class EventKind(StrEnum):
    """Every line of an event log is one of these."""

    CREATED = "created"
    STARTED = "started"
    KILLING = "killing"
    KILLED = "killed"
    FAILED = "failed"
    DIED = "died"
    ADOPTED = "adopted"
    TIMEOUT = "timeout"
    OOM = "oom"
    DEGRADED = "degraded"
    LEFTOVER = "leftover"


@dataclass(frozen=True, slots=True)
class Step:
    """A way from one state to another; ``source`` is None for the beginning."""

    source: State | None
    target: State
    kind: EventKind
    cause: str


STEPS: tuple[Step, ...] = (
    Step(None, State.CREATING, EventKind.CREATED, "a request was let in"),
    Step(State.CREATING, State.RUNNING, EventKind.STARTED, "its agent answers"),
    Step(State.CREATING, State.KILLING, EventKind.KILLING, "somebody killed it before it was ready"),
    Step(
        State.CREATING,
        State.FAILED,
        EventKind.FAILED,
        "it could not be started, or not in time, or the server stopped meanwhile",
    ),
    Step(
        State.RUNNING,
        State.KILLING,
        EventKind.KILLING,
        "a request, its deadline, or its creator went away before it learned the id",
    ),
    Step(
        State.RUNNING,
        State.FAILED,
        EventKind.DIED,
        "its runtime or its agent ended by itself, or was not found after a restart",
    ),
    Step(State.RUNNING, State.FAILED, EventKind.FAILED, "it had just started when its creation was cut off"),
    Step(State.KILLING, State.KILLED, EventKind.KILLED, "nothing of it runs any more"),
)

NOTES: Mapping[EventKind, str] = {
    EventKind.ADOPTED: "a server that was started anew found it running and looks after it again",
    EventKind.TIMEOUT: "a request set its deadline anew",
    EventKind.OOM: "something inside was ended for want of memory or of processes",
    EventKind.DEGRADED: "it goes on, but something of it was lost, is missing or was mended",
    EventKind.LEFTOVER: "it has ended, but not all of it could be removed yet; it is tried again",
}
"""What may happen to a sandbox without a change of its state."""

TRANSITIONS: Mapping[State, frozenset[State]] = {
    state: frozenset(step.target for step in STEPS if step.source is state) for state in State
}

LIVE = frozenset(state for state in State if TRANSITIONS[state])


def target_of(kind: EventKind) -> State:
    """The state that an event of this kind leads to."""
    return next(step.target for step in STEPS if step.kind is kind)


def sources_of(kind: EventKind) -> frozenset[State]:
    """The states from which an event of this kind leads on."""
    return frozenset(step.source for step in STEPS if step.kind is kind and step.source is not None)
