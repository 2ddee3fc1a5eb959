"""Errors as one line on standard error, and exit codes. Only a bug shows a traceback."""

from __future__ import annotations

import errno
import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

FAILED = 1
MISUSED = 2
TIMED_OUT = 124
INTERRUPTED = 130


class PlainErrors(TyperGroup):
    """A group whose commands fail with one clear line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            typer.echo(f"sandlot: {_misuse(error)}", err=True)
            raise typer.Exit(MISUSED) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            message = _plain(error)
            if message is None:
                raise
            typer.echo(f"sandlot: {message}", err=True)
            raise typer.Exit(FAILED) from None


def fail(message: str, code: int = FAILED) -> NoReturn:
    typer.echo(f"sandlot: {message}", err=True)
    raise typer.Exit(code)


def _misuse(error: Any) -> str:
    command = error.ctx.command_path if getattr(error, "ctx", None) else "sandlot"
    return f"{error.format_message()}; see `{command} --help`"


def _plain(error: Exception) -> str | None:
    """What went wrong, where it is not a bug of ours."""
    from sandlot.cli.output import shown

    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return None
    if _is(error, "sandlot.sdk._errors", "SandboxError") or _is(error, "sandlot.errors", "SandlotError"):
        return shown(str(error))
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) if isinstance(error, OSError) else None


def _is(error: Exception, module: str, name: str) -> bool:
    # An error of a module that was never loaded cannot have been raised.
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(error, getattr(loaded, name))
