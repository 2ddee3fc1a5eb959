"""Snapshots: make, find, delete, go back to one."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request

from sandlot.doors.native.described import failures
from sandlot.doors.native.door import door_of, engine_of, routes
from sandlot.doors.native.models import (
    DeletedAnswer,
    RollbackBody,
    SandboxAnswer,
    SandboxId,
    SnapshotAnswer,
    SnapshotBody,
    SnapshotName,
    SnapshotsAnswer,
)
from sandlot.doors.streaming import while_connected

router = routes("/v1", "snapshots")

# The name may hold a slash: whatever comes after the prefix is one name.
_ONE = "/snapshots/{snapshot:path}"


@router.post(
    "/sandboxes/{sandbox_id}/snapshots",
    status_code=201,
    responses=failures(404, 409, 410, 429, 502, 504, 507),
)
async def create_snapshot(
    request: Request,
    sandbox_id: SandboxId,
    body: SnapshotBody = SnapshotBody(),
) -> SnapshotAnswer:
    """Keep the sandbox as it is now. It goes on, and the snapshot is whole when this answers.

    None stays for a client that leaves.
    """
    making = engine_of(request).snapshot(sandbox_id, body.to_core())
    return SnapshotAnswer.of(await while_connected(request.receive, making))


@router.post("/sandboxes/{sandbox_id}/rollback", responses=failures(404, 409, 410, 422, 429, 502, 504, 507))
async def roll_back(request: Request, sandbox_id: SandboxId, body: RollbackBody) -> SandboxAnswer:
    """Return the sandbox, under its id, to one of its own snapshots. On failure it stays as it is."""
    sandbox = await engine_of(request).roll_back(sandbox_id, body.snapshot)
    return SandboxAnswer.of(sandbox, door_of(request).ports)


@router.get("/snapshots", responses=failures())
async def list_snapshots(
    request: Request,
    sandbox_id: Annotated[
        str | None, Query(description="Those of this sandbox.", examples=["sbh4q2mzk7c5xw3nafj6td"])
    ] = None,
    limit: Annotated[int, Query(description="Most snapshots in one answer, 1 to 1000.")] = 100,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> SnapshotsAnswer:
    """Snapshots, newest first."""
    page = await engine_of(request).snapshots(sandbox_id=sandbox_id, limit=limit, cursor=cursor)
    return SnapshotsAnswer(
        snapshots=[SnapshotAnswer.of(item) for item in page.items], next_cursor=page.next_cursor
    )


@router.get(_ONE, responses=failures(404))
async def get_snapshot(request: Request, snapshot: SnapshotName) -> SnapshotAnswer:
    """One snapshot."""
    return SnapshotAnswer.of(await engine_of(request).get_snapshot(snapshot))


@router.delete(_ONE, responses=failures())
async def delete_snapshot(request: Request, snapshot: SnapshotName) -> DeletedAnswer:
    """Delete a snapshot. Sandboxes that were made from it go on."""
    return DeletedAnswer(deleted=await engine_of(request).delete_snapshot(snapshot))
