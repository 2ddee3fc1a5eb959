"""The life cycle as data: what the docs and the event logs say is what the code allows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sandlot.core.lifecycle import NOTES, STEPS, TRANSITIONS, EventKind, State, sources_of, target_of

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_is_as_the_code_says() -> None:
    check = [sys.executable, str(ROOT / "script/generate-lifecycle"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, f"run script/generate-lifecycle:\n{done.stdout}{done.stderr}"


def test_every_kind_of_event_is_explained_once() -> None:
    assert {step.kind for step in STEPS} | NOTES.keys() == set(EventKind)
    assert not {step.kind for step in STEPS} & NOTES.keys()


def test_a_kind_leads_to_one_state_from_where_it_may() -> None:
    for step in STEPS:
        assert target_of(step.kind) is step.target
        assert step.source is None or step.source in sources_of(step.kind)


def test_every_sandbox_can_end_and_no_end_leads_on() -> None:
    ends = {state for state in State if state.ended}
    reached = {state: {state} for state in State}
    for _ in State:
        for state in State:
            reached[state] |= {further for target in TRANSITIONS[state] for further in reached[target]}
    assert ends == {State.KILLED, State.FAILED}
    assert all(reached[state] & ends for state in State)
