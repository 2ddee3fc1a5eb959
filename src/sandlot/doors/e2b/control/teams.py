"""Teams are tenants, and who holds a key is of one."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandlot.doors.e2b.door import engine_of
from sandlot.doors.encoding import Json


async def e2b_list_teams(request: Request) -> Response:
    """The caller's own, without its key: whoever asks has one."""
    name = (await engine_of(request)).status().name
    return Json([{"teamID": name, "name": name, "apiKey": "", "isDefault": True}])


ROUTES: Final = [Route("/teams", e2b_list_teams, methods=["GET"])]
