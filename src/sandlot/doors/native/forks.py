"""Forks: several sandboxes out of one that runs."""

from __future__ import annotations

from fastapi import Request

from sandlot.doors.native.described import failures
from sandlot.doors.native.door import door_of, engine_of, routes
from sandlot.doors.native.models import ForkAnswer, ForkBody, ForksAnswer, SandboxId
from sandlot.doors.streaming import while_connected

router = routes("/v1/sandboxes", "sandboxes")


@router.post("/{sandbox_id}/fork", responses=failures(404, 409, 410, 422, 429, 502, 504, 507))
async def fork_sandbox(
    request: Request,
    sandbox_id: SandboxId,
    body: ForkBody = ForkBody(),
) -> ForksAnswer:
    """Make new sandboxes with the memory, processes and files of this one, which goes on.

    One that fails does not keep the others: it stands in the answer with its error. Where none could be made
    the answer is the error of the first. None stays for a client that leaves.
    """
    forking = engine_of(request).fork(sandbox_id, count=body.count, timeout_s=body.timeout_s)
    forks = await while_connected(request.receive, forking)
    errors = [fork.error for fork in forks if fork.error is not None]
    if errors and len(errors) == len(forks):
        raise errors[0]
    ports = door_of(request).ports
    return ForksAnswer(forks=[ForkAnswer.of(fork, ports) for fork in forks])
