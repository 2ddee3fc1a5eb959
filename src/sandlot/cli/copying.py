"""Copying files and folders in and out."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from sandlot.cli.finding import find
from sandlot.cli.running import User

if TYPE_CHECKING:
    from sandlot.sdk import Sandbox

_REMOTE = re.compile(r"(sb[a-z2-7]*):(.*)", re.DOTALL)


def add_to(app: typer.Typer) -> None:
    app.command("cp", rich_help_panel="Files")(cp)


def cp(
    source: Annotated[str, typer.Argument(help="What to copy: a path here, or ID:PATH.")],
    target: Annotated[str, typer.Argument(help="Where to: ID:PATH, or a path here.")],
    user: User = None,
) -> None:
    """Copy a file or a folder into a sandbox, or out of one.

    As cp does it: where the target is a folder, the copy goes into it, under
    its own name. SOURCE/. means what is in the folder. Relative paths in a
    sandbox begin at the user's home.
    """
    there, here = _REMOTE.fullmatch(target), _REMOTE.fullmatch(source)
    if there and not here:
        _upload(source, find(there[1]), there[2], user)
    elif here and not there:
        _download(find(here[1]), here[2], target, user)
    else:
        raise typer.BadParameter("one of the two is ID:PATH, the other a path here (./sb:x for an odd name)")


def _upload(source: str, sandbox: Sandbox, path: str, user: str | None) -> None:
    local = Path(source)
    local.stat()
    path = path or "."
    if not source.endswith("/.") and (path.endswith("/") or _is_folder(sandbox, path, user)):
        path = str(PurePosixPath(path, local.resolve().name))
    sandbox.files.upload(local, path, user=user)


def _is_folder(sandbox: Sandbox, path: str, user: str | None) -> bool:
    from sandlot.sdk import NotFoundError

    try:
        return sandbox.files.stat(path, user=user).is_dir
    except NotFoundError:
        return False


def _download(sandbox: Sandbox, path: str, target: str, user: str | None) -> None:
    local = Path(target)
    path = path or "."
    if not path.endswith("/.") and (target.endswith("/") or local.is_dir()):
        local = local / (PurePosixPath(path).name or sandbox.id)
    sandbox.files.download(path, local, user=user)
