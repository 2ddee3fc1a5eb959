"""What is asked of a new sandbox, in the engine's words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from sandlot.core.idempotency import KeyReused
from sandlot.core.model import CreateSandbox, Ingress, Sandbox, Snapshot
from sandlot.core.tenancy import TenantEngine
from sandlot.doors.e2b.control.bodies import typed
from sandlot.doors.e2b.control.models import DEFAULT_TIMEOUT_S, Network, NewSandbox
from sandlot.doors.e2b.control.names import ours, snapshot_named
from sandlot.doors.e2b.errors import NotYet
from sandlot.errors import InvalidArgument, NotFound

_EVERYWHERE: Final = frozenset({"0.0.0.0/0"})


def wish_of(body: NewSandbox, *, secured: bool, idempotency_key: str | None) -> CreateSandbox:
    """Raises NotYet for what would otherwise be left out in silence, InvalidArgument."""
    _check_possible(body)
    network = Network() if body.network is None else typed(Network, body.network, at="network")
    return CreateSandbox(
        template=ours(body.template),
        env=body.env or {},
        metadata=body.metadata or {},
        timeout_s=DEFAULT_TIMEOUT_S if body.timeout is None else body.timeout,
        internet=_reaches_internet(body.allow_internet_access, network),
        ingress=_ingress(network),
        secured=secured,
        idempotency_key=idempotency_key,
        on_timeout="pause" if body.auto_pause else "kill",
        pause_memory=body.auto_pause_memory is not False,
        auto_resume=body.auto_resume is not None and body.auto_resume.enabled,
    )


async def made(engine: TenantEngine, wish: CreateSandbox, name: str) -> Sandbox:
    """From the template of that name, or else from the snapshot: to these clients both are templates.

    Raises what ``TenantEngine.create`` raises.
    """
    try:
        return await engine.create(wish)
    except (NotFound, KeyReused):
        # The key's first use, too, made one from the snapshot.
        if (snapshot := await _snapshot(engine, name)) is None:
            raise
    return await engine.create(replace(wish, template=CreateSandbox().template, snapshot=snapshot.id))


async def _snapshot(engine: TenantEngine, name: str) -> Snapshot | None:
    try:
        return await engine.get_snapshot(snapshot_named(name))
    except NotFound:
        return None


def _check_possible(body: NewSandbox) -> None:
    """Raises NotYet, InvalidArgument."""
    if body.auto_pause_memory is False and not body.auto_pause:
        raise InvalidArgument("autoPauseMemory says how autoPause pauses; leave it out, or set autoPause")
    lacking: dict[str, Any] = {
        "mcp": body.mcp,
        "iam": body.iam,
        "volumeMounts": body.volume_mounts,
    }
    _refuse(lacking)


def _refuse(lacking: dict[str, Any]) -> None:
    for name, asked in lacking.items():
        if asked:
            raise NotYet(f"{name} is not supported yet by this server; leave it out")


def _ingress(network: Network) -> Ingress:
    return "token" if network.allow_public_traffic is False else "public"


def _reaches_internet(allowed: bool | None, network: Network) -> bool | None:
    """What is allowed goes before what is denied, and what is neither is allowed; None where nothing is said
    of it. Raises NotYet.
    """
    _refuse(
        {
            "network.rules": network.rules,
            "network.egressProxy": network.egress_proxy,
            "network.dnsServers": network.dns_servers is not None,
            "network.maskRequestHost": network.mask_request_host,
            "network.httpsPorts": network.https_ports,
        }
    )
    allow, deny = set(network.allow_out or ()), set(network.deny_out or ())
    if allowed is False:
        deny |= _EVERYWHERE
    if allowed is None and not allow | deny:
        return None
    if not deny or allow & _EVERYWHERE:
        return True
    if allow or not deny & _EVERYWHERE:
        raise NotYet(
            "network.allowOut and network.denyOut with single destinations are not supported yet by this"
            " server: the internet is reached as a whole or, with allow_internet_access=false, not at all"
        )
    return False
