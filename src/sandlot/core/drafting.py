"""From a request to the sandbox that it describes, before anything of it is made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sandlot.core.idempotency import digest_of
from sandlot.core.ids import new_sandbox_id
from sandlot.core.lifecycle import State
from sandlot.core.limits import Settled
from sandlot.core.model import CreateSandbox, GuestConfig, Sandbox, Snapshot
from sandlot.core.quotas import Amounts
from sandlot.images import Template
from sandlot.network import NetworkPolicy
from sandlot.node import RootFs, SandboxSpec
from sandlot.store import Tenant


def deadline_after(timeout_s: float | None) -> datetime | None:
    """So many seconds from now; None for never."""
    return None if timeout_s is None else datetime.now(UTC) + timedelta(seconds=timeout_s)


def amounts_of(sandbox: Sandbox) -> Amounts:
    """What its tenant is charged for it."""
    return Amounts.of(sandbox.cpus, sandbox.memory_mib, sandbox.disk_mib)


def drafted(
    request: CreateSandbox, settled: Settled, template: Template, tenant: Tenant, id: str | None = None
) -> Sandbox:
    """The sandbox that is to be, under this id or a new one."""
    config = template.config
    guest = GuestConfig(
        user=config.user,
        workdir=config.workdir,
        env=dict(config.env),
        kernels=dict(config.kernels),
        start=config.start,
        ready=config.ready,
    )
    return _drafted(request, settled, tenant, id or new_sandbox_id(), (template.name, template.id), guest)


def drafted_from(request: CreateSandbox, settled: Settled, snapshot: Snapshot, tenant: Tenant) -> Sandbox:
    """The sandbox that is to begin as that snapshot: what the request does not say is as it was.

    What has been done once is not done again: ``on_create`` is the request's own alone.
    """
    template = snapshot.template, snapshot.template_id
    plain = _drafted(request, settled, tenant, new_sandbox_id(), template, snapshot.guest)
    asked, kept = request.hooks, snapshot.hooks
    return replace(
        plain,
        internet=snapshot.internet if request.internet is None else request.internet,
        env={**snapshot.env, **request.env},
        hooks=replace(asked, on_resume=asked.on_resume or kept.on_resume, ready=asked.ready or kept.ready),
        generation=snapshot.generation + 1,
        snapshot_id=snapshot.id,
        parent_id=snapshot.sandbox_id,
    )


def drafted_child(parent: Sandbox, timeout_s: float | None) -> Sandbox:
    """The sandbox that is to begin as its parent is now, under a name of its own."""
    return replace(
        parent,
        id=(id := new_sandbox_id()),
        hostname=id,
        state=State.CREATING,
        reason=None,
        created_at=datetime.now(UTC),
        started_at=None,
        deadline=None,
        timeout_s=timeout_s,
        idempotency_key=None,
        idempotency_digest=None,
        paused_at=None,
        depth=None,
        generation=parent.generation + 1,
        parent_id=parent.id,
    )


def _drafted(
    request: CreateSandbox,
    settled: Settled,
    tenant: Tenant,
    id: str,
    template: tuple[str, str],
    guest: GuestConfig,
) -> Sandbox:
    """``template``: its name and its version."""
    return Sandbox(
        id=id,
        tenant=tenant.name,
        template=template[0],
        template_id=template[1],
        isolation=settled.isolation,
        state=State.CREATING,
        reason=None,
        cpus=settled.cpus,
        memory_mib=settled.memory_mib,
        disk_mib=settled.disk_mib,
        pids=settled.pids,
        internet=request.internet is not False,
        hostname=request.hostname or id,
        env=dict(request.env),
        metadata=dict(request.metadata),
        guest=guest,
        created_at=datetime.now(UTC),
        ingress=request.ingress,
        secured=request.secured,
        idempotency_key=request.idempotency_key,
        idempotency_digest=digest_of(request) if request.idempotency_key else None,
        timeout_s=request.timeout_s,
        on_timeout=request.on_timeout,
        pause_memory=request.pause_memory,
        pause_idle_s=request.pause_idle_s,
        auto_resume=request.auto_resume,
        keep_paused_s=request.keep_paused_s,
        hooks=request.hooks,
    )


def spec_of(sandbox: Sandbox, template: Template | None = None) -> SandboxSpec:
    """What the node is asked for. What comes back keeps the layers that it had, and needs no template."""
    return SandboxSpec(
        id=sandbox.id,
        rootfs=RootFs(layers=template.layers if template else ()),
        tier=sandbox.isolation,
        cpus=sandbox.cpus,
        memory_bytes=sandbox.memory_mib * 1024 * 1024,
        disk_bytes=sandbox.disk_mib * 1024 * 1024,
        pids=sandbox.pids,
        network=NetworkPolicy(internet=sandbox.internet),
        hostname=sandbox.hostname,
        generation=sandbox.generation,
    )
