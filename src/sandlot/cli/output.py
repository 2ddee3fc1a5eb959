"""Tables for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def shown(text: str) -> str:
    """Text from a sandbox, without what could command a terminal."""
    return _CONTROLS.sub("\ufffd", text)


def as_json(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(_plain(value), indent=2, default=_text))


def as_json_line(value: Any) -> None:
    """One JSON document on one line, for things that come one after another."""
    typer.echo(json.dumps(_plain(value), default=_text))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines, the first of them the heading. Not Rich's, which takes longer to load than `ls` to answer."""
    cells = [[shown("-" if cell is None else str(cell)) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
    return ["   ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    heading, *lines = table(columns, rows)
    typer.secho(heading, bold=True)
    for line in lines:
        typer.echo(line)


def print_fields(fields: Mapping[str, object]) -> None:
    width = max(map(len, fields)) + 2
    for name, value in fields.items():
        typer.echo(f"{name + ':':<{width}}{shown('-' if value is None else str(value))}")


def size(count: float) -> str:
    """Bytes as people say them: ``1.5 GiB``."""
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"


def span(seconds: float) -> str:
    """A length of time as people say it: ``45s``, ``12m``, ``3h``, ``2d``."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def ago(moment: datetime | None) -> str | None:
    return None if moment is None else span((datetime.now(UTC) - moment).total_seconds())


def ahead(moment: datetime | None) -> str | None:
    return None if moment is None else span((moment - datetime.now(UTC)).total_seconds())


def moment(when: datetime | None) -> str | None:
    return None if when is None else when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def labels(pairs: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in pairs.items())
