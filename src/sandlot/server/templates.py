"""Templates of this machine, whether a server runs or not."""

from __future__ import annotations

from sandlot.images import Template, TemplateInfo, Templates
from sandlot.images.progress import Report
from sandlot.server.settings import Settings


def built(settings: Settings) -> list[TemplateInfo]:
    return Templates(settings.templates_folder).list()


async def build(settings: Settings, name: str, *, progress: Report, force: bool = False) -> Template:
    """Raises what ``Templates.build`` raises."""
    return await Templates(settings.templates_folder).build(name, progress=progress, force=force)
