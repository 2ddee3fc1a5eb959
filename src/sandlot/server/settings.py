"""The server's settings: sandlot.toml, then the environment, then flags; the later one wins."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sandlot.core.limits import Limits
from sandlot.core.pools import Bounds, PoolSettings
from sandlot.errors import InvalidArgument
from sandlot.node import NodeSettings, Tier

MIB: Final = 1024 * 1024
PREFIX: Final = "SANDLOT_"
FILE_NAME: Final = "sandlot.toml"
PLACES: Final = (Path(FILE_NAME), Path("/etc/sandlot") / FILE_NAME)

_CLIENTS_OWN: Final = frozenset({"SANDLOT_URL", "SANDLOT_API_KEY", "SANDLOT_CONFIG"})
"""Variables that the SDK and the CLI read; the server shares its environment with them."""

_REACHED_AT: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_DEFAULTS: Final = Limits()

HTTPS_PORT: Final = 443
BEFORE_THE_SERVER: Final = 0
"""As a port for TLS: a proxy in front has it."""
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"(?=.{{1,220}}$)(?:{_LABEL}\.)+(?=[a-z0-9-]*[a-z]){_LABEL}")
"""Room is left for a port's label before it. The last label has a letter, which an IP address has not."""


class PoolBounds(BaseModel):
    """How many hot sandboxes of one template; ``max`` of None is what every other template has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: int = Field(0, ge=0)
    max: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min must not be more than max, which is {self.max}")
        return self


class Settings(BaseModel):
    """Every setting. docs/configuration.md has a line for each, which a test checks.

    A name means the same everywhere: ``max_sandboxes`` in the file, ``SANDLOT_MAX_SANDBOXES`` in the
    environment, ``--max-sandboxes`` as a flag.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(7263, ge=1, le=65535)
    domain: str | None = None
    tls_port: int = Field(HTTPS_PORT, ge=0, le=65535)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    acme_email: str | None = None
    acme_directory: str = "https://acme-v02.api.letsencrypt.org/directory"
    acme_dns_hook: Path | None = None
    data_dir: Path = Path("/var/lib/sandlot")
    templates_dir: Path | None = None

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"
    access_log: bool = False
    metrics_public: bool = False

    default_isolation: Tier = _DEFAULTS.default_isolation
    default_cpus: float = Field(_DEFAULTS.default_cpus, gt=0)
    default_memory_mib: int = Field(_DEFAULTS.default_memory_mib, ge=1)
    default_disk_mib: int = Field(_DEFAULTS.default_disk_mib, ge=1)
    default_pids: int = Field(_DEFAULTS.default_pids, ge=1)

    max_cpus: float = Field(_DEFAULTS.max_cpus, gt=0)
    max_memory_mib: int = Field(_DEFAULTS.max_memory_mib, ge=1)
    max_disk_mib: int = Field(_DEFAULTS.max_disk_mib, ge=1)
    max_pids: int = Field(_DEFAULTS.max_pids, ge=1)
    max_timeout_s: float = Field(_DEFAULTS.max_timeout_s, gt=0)
    max_sandboxes: int = Field(_DEFAULTS.max_sandboxes, ge=1)
    max_concurrent_creates: int = Field(_DEFAULTS.max_concurrent_creates, ge=1)
    create_timeout_s: float = Field(_DEFAULTS.create_timeout_s, gt=0)
    create_queue_length: int = Field(_DEFAULTS.create_queue_length, ge=0)
    create_queue_timeout_s: float = Field(_DEFAULTS.create_queue_timeout_s, gt=0)
    history_s: float = Field(_DEFAULTS.history_s, gt=0)
    pause_to_disk_after_s: float = Field(_DEFAULTS.pause_to_disk_after_s, ge=0)
    max_forks: int = Field(_DEFAULTS.max_forks, ge=1)

    pool_hot_max: int = Field(Bounds().max, ge=0)
    pools: Mapping[str, PoolBounds] = {}
    pool_network_slots: int = Field(NodeSettings.network_slots, ge=0)
    pool_disk_slots: int = Field(NodeSettings.disk_slots, ge=0)
    network_allow: tuple[str, ...] = ()
    host_reserve_mib: int = Field(NodeSettings.host_reserve_bytes // MIB, ge=0)
    host_reserve_memory_mib: int = Field(_DEFAULTS.host_reserve_memory_mib, ge=0)
    runsc_platform: Literal["systrap", "ptrace", "kvm"] = "systrap"
    freeze_idle_after_s: float = Field(NodeSettings.freeze_idle_after_s, ge=0)

    max_connections: int = Field(4096, ge=8)
    max_body_kib: int = Field(1024, ge=1)
    max_upload_mib: int | None = Field(None, ge=1)
    max_header_kib: int = Field(64, ge=4)
    header_timeout_s: float = Field(10.0, gt=0)
    body_idle_timeout_s: float = Field(30.0, gt=0)
    send_idle_timeout_s: float = Field(300.0, gt=0)
    keep_alive_s: int = Field(75, ge=0)
    stop_timeout_s: float = Field(20.0, gt=0)

    @field_validator("network_allow", mode="before")
    @classmethod
    def _listed(cls, networks: Any) -> Any:
        """The environment and flags give a list as words with commas between."""
        if isinstance(networks, str):
            networks = [word.strip() for word in networks.split(",") if word.strip()]
        return networks

    @field_validator("network_allow")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            IPv4Network(network)
        return networks

    @field_validator("pools", mode="before")
    @classmethod
    def _named_pools(cls, pools: Any) -> Any:
        """The environment and flags give ``base=2:8,other=1``: the name, the least, and the most."""
        if not isinstance(pools, str):
            return pools
        words = [word.strip() for word in pools.split(",") if word.strip()]
        return dict(_named_pool(word) for word in words)

    @field_validator("domain")
    @classmethod
    def _a_domain(cls, domain: str | None) -> str | None:
        if domain is not None and not _DOMAIN.fullmatch(domain := domain.lower().rstrip(".")):
            # With fewer than two dots clients refuse a certificate for *.domain.
            raise ValueError("a domain is needed that has a dot in it, such as box.example.com, and no port")
        return domain

    @field_validator("data_dir", "templates_dir", "tls_certificate", "tls_key", "acme_dns_hook")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @property
    def templates_folder(self) -> Path:
        return self.templates_dir or self.data_dir / "templates"

    @property
    def url(self) -> str:
        """How this machine reaches the server."""
        host = _REACHED_AT.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def domains(self) -> tuple[str, ...]:
        """What ports' host names may end with, the one to hand out first; with the port to reach them at."""
        plain = f"localhost:{self.port}"
        if self.domain is None:
            return (plain,)
        elsewhere = self.tls_port not in (HTTPS_PORT, BEFORE_THE_SERVER)
        return (f"{self.domain}:{self.tls_port}" if elsewhere else self.domain, plain)

    @property
    def mentions_tls(self) -> bool:
        """Whether anything is said of a domain or a certificate, right or wrong."""
        said = (self.domain, self.tls_certificate, self.tls_key, self.acme_email, self.acme_dns_hook)
        return any(value is not None for value in said)

    def limits(self) -> Limits:
        return Limits(**{name: getattr(self, name) for name in Limits.__dataclass_fields__})

    def pool_settings(self) -> PoolSettings:
        most = self.pool_hot_max
        named = {
            name: Bounds(pool.min, max(pool.min, most) if pool.max is None else pool.max)
            for name, pool in self.pools.items()
        }
        return PoolSettings(Bounds(0, most), named)

    def node(self) -> NodeSettings:
        return NodeSettings(
            data_dir=self.data_dir,
            network_slots=self.pool_network_slots,
            network_allow=self.network_allow,
            disk_slots=self.pool_disk_slots,
            max_sandboxes=self.max_sandboxes,
            default_disk_bytes=self.default_disk_mib * MIB,
            host_reserve_bytes=self.host_reserve_mib * MIB,
            runsc_platform=self.runsc_platform,
            freeze_idle_after_s=self.freeze_idle_after_s,
        )


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings in force. ``flags`` of ``None`` were not given.

    Empty variables count as not set. ``file`` must exist; without it ``SANDLOT_CONFIG`` says which, else the
    first of ``PLACES`` that exists.
    Raises InvalidArgument that names the place and the key, and the nearest key where there is none such.
    """
    environment = os.environ if environment is None else environment
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    path = file or _file_of(environment)
    from_file = _read(path) if path is not None else {}
    from_environment = _read_environment(environment)
    _check_known(given, "flag", _as_flag)
    values = from_file | from_environment | given
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise InvalidArgument(_explain(error, path, from_environment, given)) from None


def _file_of(environment: Mapping[str, str]) -> Path | None:
    if (named := environment.get("SANDLOT_CONFIG")) is not None:
        return Path(named)
    return next((place for place in PLACES if place.is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise InvalidArgument(f"the settings file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"the settings file {path} is not TOML: {error}") from None
    _check_known(values, str(path), str)
    return values


def _read_environment(environment: Mapping[str, str]) -> dict[str, str]:
    values = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and name not in _CLIENTS_OWN and value
    }
    _check_known(values, "environment", _as_variable)
    return values


def _check_known(values: Iterable[str], place: str, spell: Callable[[str], str]) -> None:
    for name in values:
        if name not in Settings.model_fields:
            close = difflib.get_close_matches(name, Settings.model_fields, n=1)
            hint = f"did you mean {spell(close[0])}?" if close else "docs/configuration.md lists all"
            raise InvalidArgument(f"{place}: there is no setting {spell(name)}; {hint}")


def _explain(
    error: ValidationError, path: Path | None, environment: Iterable[str], flags: Iterable[str]
) -> str:
    problem = error.errors()[0]
    name = str(problem["loc"][0])
    if name in flags:
        place = _as_flag(name)
    elif name in environment:
        place = _as_variable(name)
    else:
        place = f"{path}: {name}"
    message = problem["msg"]
    return f"{place}: {message[:1].lower()}{message[1:]}, not {problem['input']!r}"


def _named_pool(word: str) -> tuple[str, dict[str, str]]:
    name, _, bounds = word.partition("=")
    least, colon, most = bounds.partition(":")
    return name, {"min": least, "max": most} if colon else {"min": least}


def _as_flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _as_variable(name: str) -> str:
    return PREFIX + name.upper()
