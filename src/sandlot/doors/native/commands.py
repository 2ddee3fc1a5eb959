"""Commands: start, follow, feed, signal."""

from __future__ import annotations

import signal as signals
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query, Request, Response

from sandlot.doors.encoding import Json
from sandlot.doors.native import events
from sandlot.doors.native.described import IN_SANDBOX, failures, lines, raw_body
from sandlot.doors.native.door import engine_of, routes
from sandlot.doors.native.models import (
    MAX_OFFSET,
    CommandAnswer,
    CommandBody,
    CommandId,
    CommandsAnswer,
    ResizeBody,
    SandboxId,
    SignalBody,
)
from sandlot.doors.native.streams import event_stream
from sandlot.errors import InvalidArgument
from sandlot.node.agent import Exit, Output, Process, ProcessInfo

router = routes("/v1/sandboxes/{sandbox_id}/commands", "commands")

_STREAM = lines(
    "Started", "Stdout", "Stderr", "Keepalive", "Exit", "Failed",
    description=(
        "Lines: `started`, output as it comes, `keepalive` every 15 s, at last `exit` or `error`."
        " A client that goes away only stops listening; the command goes on until its timeout."
    ),
)  # fmt: skip


@router.post(
    "",
    response_model=None,
    responses=_STREAM
    | {201: {"model": CommandAnswer, "description": "Started in the background."}}
    | failures(*IN_SANDBOX, 413),
)
async def start_command(request: Request, sandbox_id: SandboxId, body: CommandBody) -> Response:
    """Run a command and stream its output, or start it in the background."""
    live = await engine_of(request).live(sandbox_id)
    process = await live.start_command(body.to_core())
    if not body.background:
        return _follow(request, process)
    try:
        info = await live.command(process.id)
    finally:
        await process.close()
    return Json(_answer(info).model_dump(mode="json"), 201)


@router.get("", responses=failures(*IN_SANDBOX))
async def list_commands(request: Request, sandbox_id: SandboxId) -> CommandsAnswer:
    """Commands that run, and the newest that have ended."""
    live = await engine_of(request).live(sandbox_id)
    return CommandsAnswer(commands=[_answer(info) for info in await live.commands()])


@router.get("/{command_id}", responses=failures(*IN_SANDBOX))
async def get_command(request: Request, sandbox_id: SandboxId, command_id: CommandId) -> CommandAnswer:
    """One command."""
    live = await engine_of(request).live(sandbox_id)
    return _answer(await live.command(command_id))


@router.get("/{command_id}/output", response_model=None, responses=_STREAM | failures(*IN_SANDBOX))
async def follow_command(
    request: Request,
    sandbox_id: SandboxId,
    command_id: CommandId,
    stdout_from: Annotated[
        int | None,
        Query(
            ge=0,
            le=MAX_OFFSET,
            description="Offset to begin at; 0 is the oldest byte kept. Default: from now on.",
        ),
    ] = None,
    stderr_from: Annotated[
        int | None, Query(ge=0, le=MAX_OFFSET, description="The same for error output.")
    ] = None,
) -> Response:
    """Follow a command's output: after a lost connection, or that of a background command."""
    live = await engine_of(request).live(sandbox_id)
    await live.known(command_id)
    return _follow(
        request, await live.agent.attach(command_id, stdout_from=stdout_from, stderr_from=stderr_from)
    )


@router.post(
    "/{command_id}/stdin",
    status_code=204,
    response_model=None,
    responses=failures(*IN_SANDBOX, 408, 413),
    openapi_extra=raw_body("application/octet-stream"),
)
async def write_stdin(request: Request, sandbox_id: SandboxId, command_id: CommandId) -> None:
    """Send the body to the command's input, as it comes and as fast as the command reads."""
    live = await engine_of(request).live(sandbox_id)
    await live.known(command_id)
    async for chunk in request.stream():
        if chunk:
            await live.agent.write_stdin(command_id, chunk)


@router.post("/{command_id}/stdin/close", status_code=204, responses=failures(*IN_SANDBOX))
async def close_stdin(request: Request, sandbox_id: SandboxId, command_id: CommandId) -> None:
    """End the command's input."""
    live = await engine_of(request).live(sandbox_id)
    await live.close_stdin(command_id)


@router.post("/{command_id}/signal", status_code=204, responses=failures(*IN_SANDBOX))
async def send_signal(
    request: Request, sandbox_id: SandboxId, command_id: CommandId, body: SignalBody
) -> None:
    """Send a signal to the command."""
    number = _signal_number(body.signal)
    live = await engine_of(request).live(sandbox_id)
    await live.known(command_id)
    await live.agent.signal(command_id, number, group=body.group)


@router.post("/{command_id}/resize", status_code=204, responses=failures(*IN_SANDBOX))
async def resize_terminal(
    request: Request, sandbox_id: SandboxId, command_id: CommandId, body: ResizeBody
) -> None:
    """Tell a command with a terminal its new size."""
    live = await engine_of(request).live(sandbox_id)
    await live.known(command_id)
    await live.agent.resize(command_id, body.rows, body.cols)


def exit_line(ended: Exit) -> events.Exit:
    return events.Exit(ended.code, ended.signal, ended.timed_out, ended.oom)


def _follow(request: Request, process: Process) -> Response:
    first = events.line(events.Started(process.id, process.pid))
    return event_stream(request, aiter(process), _line, first=first, close=process.close)


def _line(item: Output | Exit) -> bytes:
    if isinstance(item, Exit):
        return events.line(exit_line(item))
    kind = events.Stdout if item.stream == "stdout" else events.Stderr
    return events.line(kind(item.offset, item.data))


def _answer(info: ProcessInfo) -> CommandAnswer:
    ended = info.exit
    return CommandAnswer(
        id=info.id,
        pid=info.pid,
        args=info.args,
        cwd=info.cwd,
        user=info.user,
        tag=info.tag,
        terminal=info.pty,
        started_at=datetime.fromtimestamp(info.started_at, UTC),
        running=info.running,
        exit_code=None if ended is None else ended.code,
        signal=None if ended is None else ended.signal,
        timed_out=ended is not None and ended.timed_out,
        oom=ended is not None and ended.oom,
        stdout_end=info.stdout_end,
        stderr_end=info.stderr_end,
    )


def _signal_number(value: int | str) -> int:
    if isinstance(value, str):
        name = "SIG" + value.upper().removeprefix("SIG")
        if name not in signals.Signals.__members__:
            raise InvalidArgument(
                f"signal: there is no {value!r}; give a name such as TERM, KILL or INT, or a number"
            )
        return signals.Signals[name]
    if not 1 <= value <= signals.SIGRTMAX:
        raise InvalidArgument(f"signal: {value} is none; they are 1 to {int(signals.SIGRTMAX)}")
    return value
