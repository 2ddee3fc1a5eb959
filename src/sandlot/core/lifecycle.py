"""The life of a sandbox: its states, and the only ways from one to another."""

from __future__ import annotations

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


TRANSITIONS: dict[State, frozenset[State]] = {
    State.CREATING: frozenset({State.RUNNING, State.KILLING, State.FAILED}),
    State.RUNNING: frozenset({State.KILLING, State.FAILED}),
    State.KILLING: frozenset({State.KILLED}),
    State.KILLED: frozenset(),
    State.FAILED: frozenset(),
}

LIVE = frozenset(state for state in State if TRANSITIONS[state])


def sources(target: State) -> frozenset[State]:
    """The states from which ``target`` may be entered."""
    return frozenset(state for state, targets in TRANSITIONS.items() if target in targets)
