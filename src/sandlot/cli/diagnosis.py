"""A host's report, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer


def print_report(source: str, report: Mapping[str, Any]) -> None:
    """Tiers first, with what they lack; then everything else that the report has."""
    typer.echo(f"What {source} can do:\n")
    for tier in report.get("tiers", ()):
        _print_tier(tier)
    typer.echo()
    for finding in report.get("findings", ()):
        _print_mark(bool(finding.get("ok")), str(finding.get("name")), str(finding.get("detail", "")))
        if finding.get("fix"):
            typer.echo(f"      {finding['fix']}")
    rest = {name: value for name, value in report.items() if name not in ("tiers", "findings")}
    if not rest:
        return
    typer.echo()
    width = max(map(len, rest)) + 2
    for name, value in rest.items():
        typer.echo(f"  {name.replace('_', ' '):<{width}}{_text(value)}")


def _print_tier(tier: Mapping[str, Any]) -> None:
    runtime = " ".join(str(tier[key]) for key in ("runtime", "version") if tier.get(key))
    _print_mark(bool(tier.get("available")), str(tier["tier"]), runtime)
    for missing in tier.get("missing") or ():
        typer.echo(f"      {missing}")


def _print_mark(good: bool, name: str, detail: str) -> None:
    typer.secho("  ✓ " if good else "  ✗ ", fg="green" if good else "red", nl=False)
    typer.echo(f"{name:<18}{detail}".rstrip())


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value) or "none"
    return str(value)
