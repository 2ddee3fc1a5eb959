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
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    KILLING = "killing"
    KILLED = "killed"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return not TRANSITIONS[self]

    @property
    def sleeps(self) -> bool:
        """Whether it is paused, or on its way there or back."""
        return self in (State.PAUSING, State.PAUSED, State.RESUMING)


class EventKind(StrEnum):
    """Every line of an event log is one of these."""

    CREATED = "created"
    STARTED = "started"
    PAUSING = "pausing"
    PAUSED = "paused"
    PAUSE_FAILED = "pause_failed"
    RESUMING = "resuming"
    ROLLING_BACK = "rolling_back"
    ROLL_BACK_FAILED = "roll_back_failed"
    RESUMED = "resumed"
    RESUME_FAILED = "resume_failed"
    KILLING = "killing"
    KILLED = "killed"
    FAILED = "failed"
    DIED = "died"
    ADOPTED = "adopted"
    TIMEOUT = "timeout"
    OOM = "oom"
    DEGRADED = "degraded"
    LEFTOVER = "leftover"
    DEEPENED = "deepened"
    SNAPSHOT = "snapshot"
    FORKED = "forked"
    HOOK = "hook"


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
    Step(State.RUNNING, State.PAUSING, EventKind.PAUSING, "its memory goes to disk, or its files alone stay"),
    Step(State.RUNNING, State.PAUSED, EventKind.PAUSED, "a request, its timeout, its idleness: it is frozen"),
    Step(State.PAUSING, State.PAUSED, EventKind.PAUSED, "all of it is on disk"),
    Step(State.PAUSING, State.RUNNING, EventKind.PAUSE_FAILED, "it could not be saved and goes on as it was"),
    Step(State.PAUSED, State.RUNNING, EventKind.RESUMED, "it was frozen, and goes on"),
    Step(State.PAUSED, State.RESUMING, EventKind.RESUMING, "it is read from disk"),
    Step(State.RUNNING, State.RESUMING, EventKind.ROLLING_BACK, "it goes back to one of its snapshots"),
    Step(State.PAUSED, State.RESUMING, EventKind.ROLLING_BACK, "it goes back to one of its snapshots"),
    Step(State.RESUMING, State.RUNNING, EventKind.RESUMED, "its agent answers again"),
    Step(
        State.RESUMING,
        State.RUNNING,
        EventKind.ROLL_BACK_FAILED,
        "it could not go back, and runs on as it was",
    ),
    Step(
        State.RESUMING,
        State.PAUSED,
        EventKind.RESUME_FAILED,
        "it could not be started; what was kept is whole",
    ),
    *(
        Step(state, State.KILLING, EventKind.KILLING, "a request, or the time that it is kept is over")
        for state in (State.PAUSING, State.PAUSED, State.RESUMING)
    ),
    *(
        Step(
            state,
            State.FAILED,
            EventKind.DIED,
            "what ran of it has ended, or what was kept is lost",
        )
        for state in (State.PAUSING, State.PAUSED, State.RESUMING)
    ),
    Step(State.KILLING, State.KILLED, EventKind.KILLED, "nothing of it runs any more"),
)

NOTES: Mapping[EventKind, str] = {
    EventKind.ADOPTED: "a server that was started anew found it running and looks after it again",
    EventKind.TIMEOUT: "a request set its deadline anew",
    EventKind.OOM: "something inside was ended for want of memory or of processes",
    EventKind.DEGRADED: "it goes on, but something of it was lost, is missing or was mended",
    EventKind.DEEPENED: "it was paused, frozen in memory, and is on disk now",
    EventKind.SNAPSHOT: "a snapshot of it was made; it went on",
    EventKind.FORKED: "others were made from it as it was; it went on",
    EventKind.HOOK: "a command that was to run when it starts or resumes did not succeed",
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
