"""What is asked of a new sandbox, in the engine's words."""

from __future__ import annotations

from typing import Any, Final

from sandlot.core.model import CreateSandbox, Ingress
from sandlot.doors.e2b.control.bodies import typed
from sandlot.doors.e2b.control.models import DEFAULT_TIMEOUT_S, Network, NewSandbox
from sandlot.doors.e2b.control.names import ours
from sandlot.doors.e2b.errors import NotYet

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
    )


def _check_possible(body: NewSandbox) -> None:
    resumes = body.auto_resume is not None and body.auto_resume.enabled
    lacking: dict[str, Any] = {
        "autoPause (lifecycle on_timeout 'pause')": body.auto_pause,
        "autoResume (lifecycle auto_resume)": resumes,
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


def _reaches_internet(allowed: bool | None, network: Network) -> bool:
    """What is allowed goes before what is denied, and what is neither is allowed. Raises NotYet."""
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
    if not deny or allow & _EVERYWHERE:
        return True
    if allow or not deny & _EVERYWHERE:
        raise NotYet(
            "network.allowOut and network.denyOut with single destinations are not supported yet by this"
            " server: the internet is reached as a whole or, with allow_internet_access=false, not at all"
        )
    return False
