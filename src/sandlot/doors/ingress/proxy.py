"""The way from a request to the program behind a port, over a connection that the guest's agent dials."""

from __future__ import annotations

from typing import Final

from starlette.types import Receive, Scope, Send

from sandlot.core.live import LiveSandbox
from sandlot.doors.ingress.exchange import exchange
from sandlot.doors.ingress.refusals import PortClosed
from sandlot.doors.ingress.relay import relay
from sandlot.doors.streaming import Streams
from sandlot.errors import NotFound, Unavailable
from sandlot.node.agent import PortStream

CONNECT_S: Final = 30.0


async def proxy(
    live: LiveSandbox, port: int, scope: Scope, receive: Receive, send: Send, *, streams: Streams
) -> None:
    """Serve an ASGI ``http`` or ``websocket`` scope from ``port`` inside. One connection for each.

    Its connection is a call of the sandbox's: while it is open the sandbox stays awake, and it wakes one that
    stood still. A client that leaves ends it at once, and so does a server that stops.

    Raises, before anything was answered, PortClosed where nothing listens, what ``exchange`` raises, and
    DeadlineExceeded, LimitExceeded, SandboxGone, Unavailable.
    """
    converse = relay if scope["type"] == "websocket" else exchange
    with streams.joined() as stop:
        async with await _dialled(live, port) as stream:
            await converse(stream, scope, receive, send, stop)


async def _dialled(live: LiveSandbox, port: int) -> PortStream:
    """On either loopback address: some programs listen on one of them only."""
    try:
        return await live.agent.dial(port, host="localhost", timeout=CONNECT_S)
    except (NotFound, Unavailable) as error:
        if "errno" not in error.details:
            raise  # not the guest's kernel has said so: there is no connection to the agent
        raise PortClosed(error.message) from error
