"""Bodies of the control plane's requests. Bounds are the engine's."""

from __future__ import annotations

from typing import Any, Final

import msgspec

DEFAULT_TIMEOUT_S: Final = 300.0
LEAST_REFRESH_S: Final = 15.0


class AutoResume(msgspec.Struct):
    enabled: bool = False


class NewSandbox(msgspec.Struct):
    """Of either generation; the newer has no ``secure``, since there all are."""

    template: str = msgspec.field(name="templateID")
    timeout: float | None = None
    metadata: dict[str, str] | None = None
    env: dict[str, str] | None = msgspec.field(name="envVars", default=None)
    secure: bool | None = None
    allow_internet_access: bool | None = None
    network: dict[str, Any] | None = None
    auto_pause: bool | None = msgspec.field(name="autoPause", default=None)
    auto_pause_memory: bool | None = msgspec.field(name="autoPauseMemory", default=None)
    auto_resume: AutoResume | None = msgspec.field(name="autoResume", default=None)
    mcp: Any = None
    iam: Any = None
    volume_mounts: Any = msgspec.field(name="volumeMounts", default=None)


class Network(msgspec.Struct):
    """What goes out, and who comes in."""

    allow_out: list[str] | None = msgspec.field(name="allowOut", default=None)
    deny_out: list[str] | None = msgspec.field(name="denyOut", default=None)
    allow_public_traffic: bool | None = msgspec.field(name="allowPublicTraffic", default=None)
    rules: dict[str, Any] | None = None
    egress_proxy: Any = msgspec.field(name="egressProxy", default=None)
    dns_servers: list[str] | None = msgspec.field(name="dnsServers", default=None)
    mask_request_host: str | None = msgspec.field(name="maskRequestHost", default=None)
    https_ports: list[int] | None = msgspec.field(name="httpsPorts", default=None)


class Connect(msgspec.Struct):
    """``memory`` of false asks a paused one to start anew from its files. ``autoPause`` is older."""

    timeout: float | None = None
    memory: bool | None = None
    auto_pause: bool | None = msgspec.field(name="autoPause", default=None)


class Pause(msgspec.Struct):
    memory: bool | None = None
    require_healthy_guest: bool | None = msgspec.field(name="requireHealthyGuest", default=None)


class Snapshot(msgspec.Struct):
    name: str | None = None
    memory: bool | None = None


class Fork(msgspec.Struct):
    """``timeout`` is the children's."""

    timeout: float | None = None
    count: int | None = None


class Timeout(msgspec.Struct):
    timeout: float


class Refresh(msgspec.Struct):
    duration: float | None = None
