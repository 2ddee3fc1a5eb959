"""Sandboxes that stand still: pause and resume."""

from __future__ import annotations

from fastapi import Request

from sandlot.doors.native.described import failures
from sandlot.doors.native.door import door_of, engine_of, routes
from sandlot.doors.native.models import PauseBody, ResumeBody, SandboxAnswer, SandboxId

router = routes("/v1/sandboxes", "sandboxes")


@router.post("/{sandbox_id}/pause", responses=failures(404, 409, 410, 502, 504, 507))
async def pause_sandbox(
    request: Request,
    sandbox_id: SandboxId,
    body: PauseBody = PauseBody(),
) -> SandboxAnswer:
    """Let nothing of it run any more, and keep it as it is. It answers when that is so."""
    sandbox = await engine_of(request).pause(sandbox_id, memory=body.memory)
    return SandboxAnswer.of(sandbox, door_of(request).ports)


@router.post("/{sandbox_id}/resume", responses=failures(404, 409, 410, 429, 502, 504, 507))
async def resume_sandbox(
    request: Request,
    sandbox_id: SandboxId,
    body: ResumeBody = ResumeBody(),
) -> SandboxAnswer:
    """Let it go on where it was paused. One that runs is only given the timeout."""
    sandbox = await engine_of(request).resume(sandbox_id, body.timeout_s)
    return SandboxAnswer.of(sandbox, door_of(request).ports)
