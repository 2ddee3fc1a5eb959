"""Why nothing can be done with a sandbox as it is now."""

from __future__ import annotations

from sandlot.core.lifecycle import State
from sandlot.core.model import Sandbox
from sandlot.errors import Conflict, SandboxGone, SandboxPaused, SandlotError, Unavailable


def ended_meanwhile(id: str) -> SandboxGone:
    """For whoever was at work on it when somebody ended it."""
    return SandboxGone(f"sandbox {id} was ended meanwhile")


def why_not(sandbox: Sandbox) -> SandlotError:
    """For whoever wants something of one that does not run, or is not found among those that do."""
    id = sandbox.id
    match sandbox.state:
        case State.CREATING:
            return Conflict(f"sandbox {id} is still being created")
        case State.RUNNING:
            return Unavailable(f"sandbox {id} is being adopted after a restart of the server; try again")
        case State.PAUSING:
            return SandboxPaused(f"sandbox {id} is being paused; resume it")
        case State.PAUSED:
            return SandboxPaused(f"sandbox {id} is paused: {sandbox.reason}; resume it")
        case State.RESUMING:
            return Unavailable(f"sandbox {id} is being read from disk; try again in a moment")
    now = "being killed" if sandbox.state is State.KILLING else sandbox.state
    return SandboxGone(
        f"sandbox {id} is {now}: {sandbox.reason}",
        state=sandbox.state.value,
        reason=sandbox.reason,
    )
