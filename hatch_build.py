"""Hatch build hook: every wheel carries the guest agent of both architectures."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class AgentBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds the agent before the files of a wheel are collected."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "wheel":
            build = runpy.run_path(str(Path(self.root) / "guest" / "agent" / "build.py"))
            for architecture in build["ARCHITECTURES"]:
                build["build_agent"](architecture)
