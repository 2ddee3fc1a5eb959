"""Is the sandbox there?"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandlot.doors.e2b.door import sandbox_of


async def e2b_health(request: Request) -> Response:
    """It runs, and the caller may talk to it."""
    await sandbox_of(request)
    return Response(status_code=204)


ROUTES = [Route("/health", e2b_health)]
