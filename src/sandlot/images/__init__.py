"""Templates: the root file systems that sandboxes start from, built from the host's own package sources."""

from sandlot.images.progress import Progress
from sandlot.images.runner import BuildFailed
from sandlot.images.templates import Template, TemplateConfig, TemplateInfo, Templates

__all__ = ["BuildFailed", "Progress", "Template", "TemplateConfig", "TemplateInfo", "Templates"]
