"""A terminal over a WebSocket: binary messages are what is typed and shown, text messages are JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec
from fastapi import APIRouter, WebSocket
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field, ValidationError
from starlette.websockets import WebSocketDisconnect

from sandlot.core.live import LiveSandbox
from sandlot.core.model import StartCommand
from sandlot.doors.native import errors, events
from sandlot.doors.native.commands import exit_line
from sandlot.doors.native.door import admit, door_of, engine_of, explained
from sandlot.doors.native.models import MAX_OFFSET, Request, check_sandbox_id
from sandlot.doors.streaming import FAREWELL_S, stopping
from sandlot.errors import Conflict, InvalidArgument, NotFound, SandlotError
from sandlot.node.agent import Exit, Process

router = APIRouter(tags=["terminal"])

LOGIN_SHELL: Final = 'exec "${SHELL:-/bin/sh}" -l'

MAX_SIZE: Final = 1000

CLOSE_NORMAL: Final = 1000
CLOSE_BAD_MESSAGE: Final = 1008
CLOSE_ERROR: Final = 1011
CLOSE_RESTART: Final = 1012


class TerminalQuery(Request):
    """The query of the WebSocket's address."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, strict=False)

    rows: int = Field(24, ge=1, le=MAX_SIZE)
    cols: int = Field(80, ge=1, le=MAX_SIZE)
    cwd: str | None = None
    user: str | None = None
    command: str | None = None
    command_id: int | None = Field(None, ge=0)
    start: int | None = Field(None, ge=0, le=MAX_OFFSET, alias="from")
    api_key: str | None = None


_PARAMETERS: Final = frozenset(field.alias or name for name, field in TerminalQuery.model_fields.items())


class _Resize(msgspec.Struct, tag_field="type", tag="resize", forbid_unknown_fields=True):
    rows: int
    cols: int


@router.websocket("/v1/sandboxes/{sandbox_id}/terminal")
async def terminal(websocket: WebSocket) -> None:
    """Open a terminal, or attach to one that runs. The command outlives the connection.

    What goes wrong before the handshake is an HTTP answer in this API's shape.
    """
    await admit(websocket)
    query = _query(websocket.query_params)
    live = await engine_of(websocket).live(check_sandbox_id(websocket.path_params["sandbox_id"]))
    process = await _process(live, query)
    try:
        await websocket.accept()
        await websocket.send_text(_text(events.Started(process.id, process.pid)))
        with door_of(websocket).streams.joined() as stop:
            await _converse(websocket, live, process, stop)
    except WebSocketDisconnect:
        pass
    finally:
        await process.close()


def _query(params: Mapping[str, str]) -> TerminalQuery:
    try:
        return TerminalQuery.model_validate(dict(params))
    except ValidationError as error:
        problems = [
            problem | {"loc": ("query", *problem["loc"]), "known": _PARAMETERS} for problem in error.errors()
        ]
        raise RequestValidationError(problems) from None


async def _process(live: LiveSandbox, query: TerminalQuery) -> Process:
    if query.command_id is None:
        command = query.command or LOGIN_SHELL
        size = (query.rows, query.cols)
        request = StartCommand(command=command, cwd=query.cwd, user=query.user, timeout_s=None, terminal=size)
        return await live.start_command(request)
    info = await live.command(query.command_id)
    if not info.pty:
        raise Conflict(f"command {info.id} has no terminal; follow it at /commands/{info.id}/output")
    process = await live.agent.attach(info.id, stdout_from=query.start)
    if info.running:
        await live.agent.resize(info.id, query.rows, query.cols)
    return process


async def _converse(
    websocket: WebSocket, live: LiveSandbox, process: Process, stop: asyncio.Future[None]
) -> None:
    """Both ways at once, until the command ends, the client leaves, or the server stops."""
    shown = asyncio.create_task(_show(websocket, process), name="terminal: output")
    typed = asyncio.create_task(_type(websocket, live, process.id), name="terminal: input")
    try:
        await asyncio.wait({shown, typed, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (shown, typed):
            task.cancel()
        await asyncio.wait({shown, typed})
    if typed.cancelled() and shown.cancelled():
        await _close(websocket, CLOSE_RESTART, stopping())
        return
    for task in (typed, shown):
        if not task.cancelled() and (error := task.exception()) is not None:
            await _fail(websocket, error)
            return


async def _show(websocket: WebSocket, process: Process) -> None:
    """Output as it comes; the transport's back-pressure reaches the program."""
    async for item in process:
        if isinstance(item, Exit):
            await websocket.send_text(_text(exit_line(item)))
            await websocket.close(CLOSE_NORMAL)
        else:
            await websocket.send_bytes(item.data)


async def _type(websocket: WebSocket, live: LiveSandbox, process_id: int) -> None:
    """Input as it comes; returns when the client has left. One message at a time is held here."""
    while (message := await websocket.receive())["type"] == "websocket.receive":
        if (data := message.get("bytes")) is not None:
            await _feed(live, process_id, data)
        else:
            size = _resize(message["text"])
            await live.agent.resize(process_id, size.rows, size.cols)


async def _feed(live: LiveSandbox, process_id: int, data: bytes) -> None:
    try:
        await live.agent.write_stdin(process_id, data)
    except (Conflict, NotFound):
        # The command has just ended: its exit is on the way to the client.
        await asyncio.Event().wait()


def _resize(text: str) -> _Resize:
    try:
        size = msgspec.json.decode(text, type=_Resize)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidArgument(
            f"a text message must be {{'type':'resize','rows':…,'cols':…}}: {error}"
        ) from None
    if not (1 <= size.rows <= MAX_SIZE and 1 <= size.cols <= MAX_SIZE):
        raise InvalidArgument(f"rows and cols must be from 1 to {MAX_SIZE}")
    return size


async def _fail(websocket: WebSocket, error: BaseException) -> None:
    if isinstance(error, WebSocketDisconnect):
        return
    if isinstance(error, InvalidArgument):
        await _close(websocket, CLOSE_BAD_MESSAGE, error)
    elif isinstance(error, SandlotError):
        await _close(websocket, CLOSE_ERROR, await explained(websocket, error))
    else:
        body = errors.internal(error, websocket)
        await _say(websocket, CLOSE_ERROR, body.error)


async def _close(websocket: WebSocket, code: int, error: SandlotError) -> None:
    await _say(websocket, code, errors.body_of(error).error)


async def _say(websocket: WebSocket, code: int, detail: errors.ErrorDetail) -> None:
    async with asyncio.timeout(FAREWELL_S):
        await websocket.send_text(_text(events.Failed(detail)))
        await websocket.close(code)


def _text(event: events.Line) -> str:
    return events.line(event).decode().rstrip()
