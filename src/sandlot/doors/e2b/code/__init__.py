"""The code interpreter at a sandbox's port 49999: run code, look after contexts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute

from sandlot.doors.e2b.code import contexts, execute
from sandlot.doors.e2b.errors import status_of
from sandlot.errors import SandlotError

__all__ = ["ERRORS", "routes"]


def routes() -> list[BaseRoute]:
    return [*execute.ROUTES, *contexts.ROUTES]


async def _in_words(_: HTTPConnection, error: SandlotError) -> Response:
    """Clients show the whole body of an answer as the message."""
    return PlainTextResponse(error.message, status_of(error))


ERRORS: Final[Mapping[Any, Any]] = {SandlotError: _in_words}
