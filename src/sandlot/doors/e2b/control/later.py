"""What of E2B's API this server does not have yet: one table, and the same answer to all of it."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandlot.doors.e2b.door import engine_of
from sandlot.doors.e2b.errors import NotYet

_SANDBOX: Final = "/sandboxes/{sandbox_id}"
_TEMPLATE: Final = "/templates/{template_id}"
_VOLUME: Final = "/volumecontent/{volume_id}"

LATER: Final[dict[str, tuple[str, ...]]] = {
    "changing the network of a running sandbox": (f"PUT {_SANDBOX}/network",),
    "building, changing and deleting templates through this API": (
        "POST /templates",
        "POST /v2/templates",
        "POST /v3/templates",
        f"POST {_TEMPLATE}",
        f"PATCH {_TEMPLATE}",
        f"PATCH /v2{_TEMPLATE}",
        f"GET {_TEMPLATE}/files/{{hash}}",
        f"POST {_TEMPLATE}/builds/{{build_id}}",
        f"POST /v2{_TEMPLATE}/builds/{{build_id}}",
        f"GET {_TEMPLATE}/builds/{{build_id}}/status",
        f"GET {_TEMPLATE}/builds/{{build_id}}/logs",
    ),
    "tags of templates": (
        "POST /templates/tags",
        "DELETE /templates/tags",
        f"GET {_TEMPLATE}/tags",
        f"GET {_TEMPLATE}/tags/count",
        f"GET {_TEMPLATE}/tags/exists",
        f"GET {_TEMPLATE}/tags/groups",
        f"GET {_TEMPLATE}/tags/{{tag}}/assignments",
    ),
    "volumes": (
        "GET /volumes",
        "POST /volumes",
        "GET /volumes/{volume_id}",
        "DELETE /volumes/{volume_id}",
        f"GET {_VOLUME}/dir",
        f"POST {_VOLUME}/dir",
        f"GET {_VOLUME}/file",
        f"PUT {_VOLUME}/file",
        f"GET {_VOLUME}/path",
        f"PATCH {_VOLUME}/path",
        f"DELETE {_VOLUME}/path",
    ),
    "secrets": (
        "GET /secrets",
        "POST /secrets",
        "GET /secrets/{secret_id}",
        "POST /secrets/{secret_id}",
        "DELETE /secrets/{secret_id}",
    ),
    "metrics of teams": ("GET /teams/{team_id}/metrics", "GET /teams/{team_id}/metrics/max"),
}
"""What it is, and the operations that need it."""


def _route(what: str, operation: str) -> Route:
    method, path = operation.split()

    async def e2b_not_yet(request: Request) -> Response:
        await engine_of(request)
        raise NotYet(f"not yet: this server has no `{operation}` ({what}); a later version will")

    return Route(path, e2b_not_yet, methods=[method])


ROUTES: Final = [_route(what, operation) for what, operations in LATER.items() for operation in operations]
