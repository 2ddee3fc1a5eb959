"""/contexts: interpreters with variables of their own."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sandlot.core.interpreter import Context, default_context
from sandlot.core.live import LiveSandbox
from sandlot.doors.e2b.code.languages import language_named
from sandlot.doors.e2b.code.requests import body_of, visited_sandbox
from sandlot.doors.encoding import Json

_THERE_FROM_THE_BEGINNING: Final = ("python", "javascript")
"""Clients find the default contexts of these in the list before anybody has used them."""


class ContextBody(msgspec.Struct):
    language: str | None = None
    cwd: str | None = None


async def e2b_create_context(request: Request) -> Response:
    live = await visited_sandbox(request)
    body = await body_of(request, ContextBody)
    context = await live.interpreter.create_context(
        language=language_named(body.language), cwd=live.path(body.cwd) if body.cwd else None
    )
    return Json(_answer(context))


async def e2b_list_contexts(request: Request) -> Response:
    live = await visited_sandbox(request)
    return Json([*map(_answer, await _contexts(live))])


async def e2b_remove_context(request: Request) -> Response:
    live = await visited_sandbox(request)
    await live.interpreter.remove_context(request.path_params["context_id"])
    return Json(None)


async def e2b_restart_context(request: Request) -> Response:
    live = await visited_sandbox(request)
    await live.interpreter.restart(request.path_params["context_id"])
    return Json(None)


async def e2b_code_health(request: Request) -> Response:
    await visited_sandbox(request)
    return PlainTextResponse("OK")


async def _contexts(live: LiveSandbox) -> list[Context]:
    running = await live.interpreter.contexts()
    used = {context.id for context in running}
    guest = live.sandbox.guest
    unused = [
        Context(default_context(language), language, guest.workdir)
        for language in _THERE_FROM_THE_BEGINNING
        if language in guest.kernels and default_context(language) not in used
    ]
    return unused + running


def _answer(context: Context) -> dict[str, str]:
    return {"id": context.id, "language": context.language, "cwd": context.cwd}


ROUTES: Final = [
    Route("/contexts", e2b_create_context, methods=["POST"]),
    Route("/contexts", e2b_list_contexts),
    Route("/contexts/{context_id}", e2b_remove_context, methods=["DELETE"]),
    Route("/contexts/{context_id}/restart", e2b_restart_context, methods=["POST"]),
    Route("/health", e2b_code_health),
]
