"""Forks: others like a sandbox that runs."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandlot.core.model import Fork
from sandlot.doors.e2b.control import models
from sandlot.doors.e2b.control.answers import opened
from sandlot.doors.e2b.control.bodies import body_of
from sandlot.doors.e2b.control.sandboxes import found, named
from sandlot.doors.e2b.door import Door, door_of
from sandlot.doors.e2b.errors import body_for
from sandlot.doors.encoding import Json
from sandlot.doors.streaming import while_connected
from sandlot.errors import Unavailable


async def e2b_fork_sandbox(request: Request) -> Response:
    """Of each, what clients need to talk to it, or why it is not there."""
    engine, id = await named(request)
    body = await body_of(request, models.Fork)
    await found(engine, id)
    timeout_s = models.DEFAULT_TIMEOUT_S if body.timeout is None else body.timeout
    count = 1 if body.count is None else body.count
    forks = await while_connected(request.receive, engine.fork(id, count=count, timeout_s=timeout_s))
    return Json([_result(fork, door_of(request)) for fork in forks], 201)


def _result(fork: Fork, door: Door) -> dict[str, Any]:
    if fork.sandbox is not None:
        return {"sandbox": opened(fork.sandbox, door)}
    return {"error": body_for(fork.error or Unavailable("it was not made"))}


ROUTES: Final = [Route("/sandboxes/{sandbox_id}/fork", e2b_fork_sandbox, methods=["POST"])]
