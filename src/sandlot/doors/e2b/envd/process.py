"""process.Process: start, follow, feed and end commands."""

from __future__ import annotations

import asyncio
import signal as signals
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Final

from starlette.routing import BaseRoute

from sandlot.core.known import KnownCommand
from sandlot.core.live import MAX_COMMAND_TIMEOUT_S, LiveSandbox
from sandlot.core.model import StartCommand
from sandlot.doors.e2b.envd import paths
from sandlot.doors.e2b.envd.connect import (
    Answers,
    Call,
    Code,
    RpcError,
    client_stream,
    out_of_time,
    server_stream,
    unary,
)
from sandlot.doors.e2b.envd.process_messages import (
    CloseStdinRequest,
    Config,
    ConnectRequest,
    Data,
    Ended,
    Event,
    Happened,
    Info,
    Input,
    ListRequest,
    ListResponse,
    Nothing,
    Pty,
    Selector,
    SendInputRequest,
    SendSignalRequest,
    Started,
    StartRequest,
    StreamInputRequest,
    UpdateRequest,
)
from sandlot.doors.streaming import while_connected
from sandlot.errors import Conflict, InvalidArgument, NotFound
from sandlot.node.agent import Exit, Output, Process, ProcessInfo

SERVICE: Final = "process.Process"
MAX_INPUT_BYTES: Final = 4 * 1024 * 1024
"""Of one message with input, three quarters of it: clients send what they are given as one."""
MAX_SIZE: Final = 65535
_DEFAULT_SIZE: Final = (24, 80)
_SIGNALS: Final[dict[int | str, signals.Signals]] = {
    "SIGNAL_SIGTERM": signals.SIGTERM,
    "SIGNAL_SIGKILL": signals.SIGKILL,
    15: signals.SIGTERM,
    9: signals.SIGKILL,
}
_KEEPALIVE: Final = Happened(Event(keepalive=Nothing()))


async def list_processes(call: Call, _: ListRequest) -> ListResponse:
    """Those that run. Of a long list of arguments only the beginning is known."""
    return ListResponse([_info(info) for info in await call.live.commands() if info.running])


async def start(call: Call, request: StartRequest) -> Answers:
    """The command ends at the call's timeout, but not with the connection."""
    config = request.process
    command = StartCommand(
        args=[config.cmd, *(config.args or [])],
        env=config.envs or {},
        cwd=paths.given(config.cwd) if config.cwd else None,
        user=call.user,
        stdin=request.stdin is not False,
        timeout_s=None if call.timeout_s is None else min(call.timeout_s, MAX_COMMAND_TIMEOUT_S),
        tag=request.tag or "",
        terminal=None if request.pty is None else _size(request.pty) or _DEFAULT_SIZE,
    )
    try:
        process = await call.live.start_command(command)
    except NotFound as error:
        # "Not found" is for processes: what does not exist here was an argument.
        raise InvalidArgument(error.message) from error
    return _follow(_until_timeout(call, process), process, terminal=command.terminal is not None)


async def connect(call: Call, request: ConnectRequest) -> Answers:
    """Output from now on. Of a command that has lately ended, how it did."""
    found = await _found(call.live, request.process, ended=True)
    process = await call.live.agent.attach(found.id)
    return _follow(_while_called(call, process), process, terminal=found.pty)


async def update(call: Call, request: UpdateRequest) -> Nothing:
    """A terminal's new size."""
    size = None if request.pty is None else _size(request.pty)

    async def resize(command: KnownCommand) -> None:
        if size is not None:
            await call.live.agent.resize(command.id, *size)

    await _with(call.live, request.process, resize)
    return Nothing()


async def send_input(call: Call, request: SendInputRequest) -> Nothing:
    """Answered when the command's pipe or terminal has taken all of it."""

    async def feed(command: KnownCommand) -> None:
        await while_connected(call.request.receive, _feed(call.live, command, request.input))

    await _with(call.live, request.process, feed)
    return Nothing()


async def stream_input(call: Call, requests: AsyncIterator[StreamInputRequest]) -> Nothing:
    """Input in the order it comes; its end leaves the command's input open."""
    command: KnownCommand | None = None
    async for request in requests:
        if request.start is not None:
            command = _known(await _found(call.live, request.start.process))
        elif request.data is not None:
            if command is None:
                raise RpcError(Code.INVALID_ARGUMENT, "start: which process the input is for comes first")
            await _feed(call.live, command, request.data.input)
    return Nothing()


async def send_signal(call: Call, request: SendSignalRequest) -> Nothing:
    """To the command's whole group, so that what a shell started ends with it."""
    signal = _SIGNALS.get(request.signal)
    if signal is None:
        raise RpcError(
            Code.INVALID_ARGUMENT, f"signal: SIGNAL_SIGTERM or SIGNAL_SIGKILL, not {request.signal!r}"
        )
    try:
        await _with(call.live, request.process, lambda command: call.live.agent.signal(command.id, signal))
    except Conflict as error:
        # It has ended since it was found.
        raise NotFound(error.message) from error
    return Nothing()


async def close_stdin(call: Call, request: CloseStdinRequest) -> Nothing:
    """End of input. A command without input has none left to end."""

    async def close(command: KnownCommand) -> None:
        if command.terminal:
            raise RpcError(
                Code.FAILED_PRECONDITION, "a terminal's input has no end of its own; send it Ctrl-D (byte 4)"
            )
        await call.live.agent.close_stdin(command.id)

    with suppress(Conflict):
        await _with(call.live, request.process, close)
    return Nothing()


def _follow(items: AsyncIterator[Output | Exit], process: Process, *, terminal: bool) -> Answers:
    return Answers(
        items=_happened(items, terminal=terminal),
        first=[Happened(Event(start=Started(process.pid)))],
        close=process.close,
        keepalive=_KEEPALIVE,
    )


async def _happened(items: AsyncIterator[Output | Exit], *, terminal: bool) -> AsyncGenerator[Happened, None]:
    async for item in items:
        if isinstance(item, Exit):
            yield Happened(Event(end=_ended(item)))
        elif terminal:
            yield Happened(Event(data=Data(pty=item.data)))
        elif item.stream == "stdout":
            yield Happened(Event(data=Data(stdout=item.data)))
        else:
            yield Happened(Event(data=Data(stderr=item.data)))


async def _until_timeout(call: Call, process: Process) -> AsyncGenerator[Output | Exit, None]:
    """The guest ends the command at its timeout; if that is what happened, the call ran out of time."""
    async for item in _while_called(call, process):
        if isinstance(item, Exit) and item.timed_out:
            raise out_of_time(call)
        yield item


async def _while_called(call: Call, process: Process) -> AsyncGenerator[Output | Exit, None]:
    """Raises RpcError at the call's timeout."""
    expires = None if call.timeout_s is None else asyncio.get_running_loop().time() + call.timeout_s
    try:
        while True:
            async with asyncio.timeout_at(expires):
                item = await anext(process)
            yield item
    except StopAsyncIteration:
        return
    except TimeoutError:
        raise out_of_time(call) from None


def _ended(exit: Exit) -> Ended:
    if exit.signal is None:
        status = f"exit status {exit.code}"
        code, exited = exit.code, True
    else:
        status = f"signal: {(signals.strsignal(exit.signal) or str(exit.signal)).lower()}"
        code, exited = -1, False
    error = None if code == 0 else status
    if exit.oom:
        error = f"{status} (the sandbox was out of memory)"
    elif exit.timed_out:
        error = f"{status} (its timeout was over)"
    return Ended(code, exited, status, error)


async def _with(live: LiveSandbox, selector: Selector, do: Callable[[KnownCommand], Awaitable[None]]) -> None:
    """``do`` with a command that runs. The guest is asked for it only where that is not yet known here.

    Raises NotFound, and Conflict where ``do`` does although the command runs.
    """
    refused: Conflict | NotFound | None = None
    remembered = None if selector.pid is None or selector.tag is not None else live.remembered(selector.pid)
    if remembered is not None:
        try:
            return await do(remembered)
        except (Conflict, NotFound) as error:
            refused = error
    found = _known(await _found(live, selector))
    if refused is not None and found == remembered:
        raise refused
    await do(found)


def _known(info: ProcessInfo) -> KnownCommand:
    return KnownCommand(info.id, info.pid, info.pty)


async def _found(live: LiveSandbox, selector: Selector, *, ended: bool = False) -> ProcessInfo:
    """The newest that runs; with ``ended``, where none does, the newest that has. Raises NotFound."""
    if (selector.pid is None) == (selector.tag is None):
        raise InvalidArgument("process: select one by pid or by tag")
    found: ProcessInfo | None = None
    for info in await live.commands():
        selected = info.pid == selector.pid if selector.tag is None else info.tag == selector.tag
        if selected and (info.running or (ended and not (found and found.running))):
            found = info
    if found is None:
        which = f"pid {selector.pid}" if selector.tag is None else f"tag {selector.tag[:200]!r}"
        raise NotFound(f"no process with {which} runs in sandbox {live.id}")
    return found


async def _feed(live: LiveSandbox, command: KnownCommand, given: Input) -> None:
    if (given.stdin is None) == (given.pty is None):
        raise InvalidArgument("input: give either stdin or pty")
    data = given.pty if given.stdin is None else given.stdin
    if command.terminal is not (given.stdin is None):
        kind = "pty: it has a terminal" if command.terminal else "stdin: it has no terminal"
        raise InvalidArgument(f"input: process {command.pid} is fed as {kind}")
    try:
        await live.agent.write_stdin(command.id, data or b"")
    except Conflict as error:
        raise Conflict(
            f"process {command.pid} has no open input: it was started without, or this was closed"
        ) from error


def _size(pty: Pty) -> tuple[int, int] | None:
    """Rows and columns; None where nothing is said of them."""
    size = pty.size
    if size is None or (size.rows == 0 and size.cols == 0):
        return None
    if not (1 <= size.rows <= MAX_SIZE and 1 <= size.cols <= MAX_SIZE):
        raise InvalidArgument(f"pty.size: rows and cols are 1 to {MAX_SIZE}, not {size.rows} and {size.cols}")
    return size.rows, size.cols


def _info(info: ProcessInfo) -> Info:
    return Info(
        Config(info.args[0] if info.args else "", info.args[1:], None, info.cwd), info.pid, info.tag or None
    )


ROUTES: list[BaseRoute] = [
    unary(SERVICE, "List", ListRequest, list_processes),
    server_stream(SERVICE, "Start", StartRequest, start),
    server_stream(SERVICE, "Connect", ConnectRequest, connect),
    unary(SERVICE, "Update", UpdateRequest, update),
    unary(SERVICE, "SendInput", SendInputRequest, send_input, max_bytes=MAX_INPUT_BYTES),
    client_stream(SERVICE, "StreamInput", StreamInputRequest, stream_input, max_bytes=MAX_INPUT_BYTES),
    unary(SERVICE, "SendSignal", SendSignalRequest, send_signal),
    unary(SERVICE, "CloseStdin", CloseStdinRequest, close_stdin),
]
