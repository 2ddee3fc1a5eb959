"""Tenants of the server on this machine: who may have how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sandlot.cli.places import Config, DataDir, settings_of
from sandlot.cli.sandboxes import Json

if TYPE_CHECKING:
    from sandlot.store import Quotas, Tenant, TenantUse

_NONE = "none"
Name = Annotated[str, typer.Argument(help="1 to 63 of a-z, 0-9, '.', '_' and '-'.")]


def _quota(help: str, *, whole: bool = True) -> Any:
    kind = "whole number" if whole else "number"

    def parsed(text: str) -> float | str:
        if text == _NONE:
            return text
        try:
            return int(text) if whole else float(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is no {kind}; give one, or 'none' for no bound") from None

    return typer.Option(help=f"{help} 'none' for no bound.", metavar="NUMBER", parser=parsed)


MaxSandboxes = Annotated[Any, _quota("Sandboxes at once.")]
MaxCpus = Annotated[Any, _quota("Processors of all its sandboxes together.", whole=False)]
MaxMemory = Annotated[Any, _quota("Memory limits of all its sandboxes together, MiB.")]
MaxDisk = Annotated[Any, _quota("Disk quotas of all its sandboxes together, MiB.")]
CreatesPerMinute = Annotated[Any, _quota("Sandboxes made in a minute.")]


def add_to(app: typer.Typer, panel: str) -> None:
    tenants = typer.Typer(help="Whose keys and sandboxes, and how many.", no_args_is_help=True)
    for name, command in (("create", create), ("ls", list_), ("set", set_), ("rm", remove)):
        tenants.command(name)(command)
    app.add_typer(tenants, name="tenants", rich_help_panel=panel)


def create(
    name: Name,
    max_sandboxes: MaxSandboxes = None,
    max_cpus: MaxCpus = None,
    max_memory_mib: MaxMemory = None,
    max_disk_mib: MaxDisk = None,
    creates_per_minute: CreatesPerMinute = None,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Make a tenant. What is not bounded here is bounded by the server's own limits alone."""
    import asyncio

    from sandlot.server.tenants import create
    from sandlot.store import Quotas

    quotas = _named(
        max_sandboxes=max_sandboxes,
        max_cpus=max_cpus,
        max_memory_mib=max_memory_mib,
        max_disk_mib=max_disk_mib,
        creates_per_minute=creates_per_minute,
    )
    asyncio.run(create(settings_of(config, {"data_dir": data_dir}), name, Quotas(**quotas)))
    typer.echo(f"made tenant {name}; `sandlot keys create NAME --tenant {name}` makes a key for it")


def list_(config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """List tenants: what each has, and of how much."""
    import asyncio

    from sandlot.cli.output import as_json, print_table
    from sandlot.server.tenants import everyone

    found = asyncio.run(everyone(settings_of(config, {"data_dir": data_dir})))
    if json:
        as_json([_document(tenant, use) for tenant, use in found])
        return
    columns = ("NAME", "KEYS", "SANDBOXES", "PAUSED", "CPUS", "MEMORY MIB", "DISK MIB", "CREATES/MIN")
    print_table(columns, (_row(tenant, use) for tenant, use in found))


def set_(
    name: Name,
    max_sandboxes: MaxSandboxes = None,
    max_cpus: MaxCpus = None,
    max_memory_mib: MaxMemory = None,
    max_disk_mib: MaxDisk = None,
    creates_per_minute: CreatesPerMinute = None,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Change the quotas that are given. A running server keeps to them from one second later on."""
    import asyncio

    from sandlot.server.tenants import change

    quotas = _named(
        max_sandboxes=max_sandboxes,
        max_cpus=max_cpus,
        max_memory_mib=max_memory_mib,
        max_disk_mib=max_disk_mib,
        creates_per_minute=creates_per_minute,
    )
    if not quotas:
        raise typer.BadParameter("give at least one quota, such as --max-sandboxes 10")
    tenant = asyncio.run(change(settings_of(config, {"data_dir": data_dir}), name, quotas))
    typer.echo(f"tenant {tenant.name}: {_said(tenant.quotas)}")


def remove(name: Name, config: Config = None, data_dir: DataDir = None) -> None:
    """Remove a tenant and what is remembered of it. It must have no keys and no sandboxes any more."""
    import asyncio

    from sandlot.server.tenants import remove

    asyncio.run(remove(settings_of(config, {"data_dir": data_dir}), name))
    typer.echo(f"removed tenant {name}")


def _named(**quotas: float | str | None) -> dict[str, Any]:
    """Those that were given; None for no bound."""
    return {name: None if value == _NONE else value for name, value in quotas.items() if value is not None}


def _said(quotas: Quotas) -> str:
    from dataclasses import asdict

    return ", ".join(f"{name} {_bound(value)}" for name, value in asdict(quotas).items())


def _bound(value: float | None) -> str:
    return _NONE if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _row(tenant: Tenant, use: TenantUse) -> tuple[object, ...]:
    quotas = tenant.quotas
    return (
        tenant.name,
        use.keys,
        _of(use.sandboxes, quotas.max_sandboxes),
        use.paused,
        _of(use.cpus, quotas.max_cpus),
        _of(use.memory_mib, quotas.max_memory_mib),
        _of(use.disk_mib, quotas.max_disk_mib),
        None if quotas.creates_per_minute is None else quotas.creates_per_minute,
    )


def _of(used: float, allowed: float | None) -> str:
    # Sums of fractions of processors, said without what binary arithmetic adds.
    has = f"{round(used, 3):.12g}"
    return has if allowed is None else f"{has} of {_bound(allowed)}"


def _document(tenant: Tenant, use: TenantUse) -> dict[str, Any]:
    from dataclasses import asdict

    return {"name": tenant.name, "quotas": asdict(tenant.quotas), "use": asdict(use)}
