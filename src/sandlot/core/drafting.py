"""From a request to the sandbox that it describes, before anything of it is made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandlot.core.idempotency import digest_of
from sandlot.core.ids import new_sandbox_id
from sandlot.core.lifecycle import State
from sandlot.core.limits import Settled
from sandlot.core.model import CreateSandbox, GuestConfig, Sandbox
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
    return Sandbox(
        id=(id := id or new_sandbox_id()),
        tenant=tenant.name,
        template=template.name,
        template_id=template.id,
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
        guest=GuestConfig(
            user=config.user,
            workdir=config.workdir,
            env=dict(config.env),
            kernels=dict(config.kernels),
            start=config.start,
            ready=config.ready,
        ),
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
