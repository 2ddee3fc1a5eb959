"""Sandboxes: make, find, time, end."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import structlog
from fastapi import Header, Query, Request
from pydantic import AwareDatetime

from sandlot.core.lifecycle import LIVE, State
from sandlot.core.model import ListQuery
from sandlot.doors.native.described import failures
from sandlot.doors.native.door import door_of, engine_of, routes
from sandlot.doors.native.models import (
    CreateSandboxBody,
    EventAnswer,
    EventsAnswer,
    HistoryAnswer,
    KilledAnswer,
    MetricsAnswer,
    SampleAnswer,
    SandboxAnswer,
    SandboxesAnswer,
    SandboxId,
    TimeoutBody,
)
from sandlot.doors.streaming import while_connected
from sandlot.errors import InvalidArgument

router = routes("/v1/sandboxes", "sandboxes")


@router.post("", status_code=201, responses=failures(404, 409, 410, 413, 422, 429, 502, 504, 507))
async def create_sandbox(
    request: Request,
    body: CreateSandboxBody,
    idempotency_key: Annotated[
        str | None,
        Header(description="Whoever asks again with it gets the sandbox of the first time, not another."),
    ] = None,
) -> SandboxAnswer:
    """Make a sandbox. It is ready for commands when this answers. None stays for a client that leaves."""
    wish = replace(body.to_core(), idempotency_key=idempotency_key)
    creating = engine_of(request).create(wish)
    sandbox = await while_connected(request.receive, creating)
    structlog.contextvars.bind_contextvars(sandbox=sandbox.id)
    return SandboxAnswer.of(sandbox, door_of(request).ports)


@router.get("", responses=failures())
async def list_sandboxes(
    request: Request,
    state: Annotated[
        str | None,
        Query(description="States, with commas. Default: those that have not ended.", examples=["running"]),
    ] = None,
    metadata: Annotated[
        list[str],
        Query(description="`key:value`; may be repeated, all must match.", examples=[["team:blue"]]),
    ] = [],  # noqa: B006  (FastAPI copies defaults)
    template: Annotated[str | None, Query(description="Those made from this template.")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Those created then or later.")] = None,
    order: Annotated[Literal["newest", "oldest"], Query(description="Which come first.")] = "newest",
    limit: Annotated[int, Query(description="Most sandboxes in one answer, 1 to 1000.")] = 100,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> SandboxesAnswer:
    """Sandboxes, newest first. The ended ones stay listed for some days (`history_s`)."""
    query = ListQuery(
        states=LIVE if state is None else _states(state),
        metadata=_pairs(metadata),
        limit=limit,
        cursor=cursor,
        template=template,
        since=since,
        oldest_first=order == "oldest",
    )
    page = await engine_of(request).list(query)
    ports = door_of(request).ports
    return SandboxesAnswer(
        sandboxes=[SandboxAnswer.of(item, ports) for item in page.items], next_cursor=page.next_cursor
    )


@router.get("/{sandbox_id}", responses=failures(404))
async def get_sandbox(request: Request, sandbox_id: SandboxId) -> SandboxAnswer:
    """One sandbox, also after it has ended."""
    return SandboxAnswer.of(await engine_of(request).get(sandbox_id), door_of(request).ports)


@router.delete("/{sandbox_id}", responses=failures(404, 504))
async def kill_sandbox(request: Request, sandbox_id: SandboxId) -> KilledAnswer:
    """End a sandbox and all that runs in it. Answers when nothing of it runs any more."""
    return KilledAnswer(killed=await engine_of(request).kill(sandbox_id))


@router.post("/{sandbox_id}/timeout", responses=failures(404, 409, 410))
async def set_timeout(request: Request, sandbox_id: SandboxId, body: TimeoutBody) -> SandboxAnswer:
    """Set the deadline anew, counted from now. A paused sandbox has none: `resume` gives it one."""
    sandbox = await engine_of(request).set_timeout(sandbox_id, body.timeout_s)
    return SandboxAnswer.of(sandbox, door_of(request).ports)


@router.get("/{sandbox_id}/metrics", responses=failures(404, 409, 410, 502, 504))
async def get_metrics(request: Request, sandbox_id: SandboxId) -> MetricsAnswer:
    """What the sandbox uses, and of what. It does not wake for this: a paused one is a 409."""
    return MetricsAnswer.of(await engine_of(request).metrics(sandbox_id))


@router.get("/{sandbox_id}/metrics/history", responses=failures(404, 409, 410))
async def get_history(
    request: Request,
    sandbox_id: SandboxId,
    start: Annotated[AwareDatetime | None, Query(description="Samples from then on.")] = None,
    end: Annotated[AwareDatetime | None, Query(description="Samples until then.")] = None,
) -> HistoryAnswer:
    """What the sandbox used, every few seconds of the last hour, measured from outside: it sleeps on."""
    samples = await engine_of(request).history(sandbox_id, start, end)
    return HistoryAnswer(samples=[SampleAnswer.of(sample) for sample in samples])


@router.get("/{sandbox_id}/events", responses=failures(404))
async def list_events(request: Request, sandbox_id: SandboxId) -> EventsAnswer:
    """What happened to the sandbox and why, oldest first; the newest thousand."""
    events = await engine_of(request).events(sandbox_id)
    return EventsAnswer(events=[EventAnswer.of(event) for event in events])


def _states(text: str) -> frozenset[State]:
    try:
        return frozenset(State(word.strip()) for word in text.split(","))
    except ValueError:
        known = ", ".join(State)
        raise InvalidArgument(
            f"state: {text!r} names one that there is not; the states are {known}"
        ) from None


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, colon, value = text.partition(":")
        if not key or not colon:
            raise InvalidArgument(f"metadata: {text!r} is not of the form key:value")
        pairs[key] = value
    return pairs
