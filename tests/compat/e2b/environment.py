"""What points E2B's clients at a server of ours."""

from __future__ import annotations

from sandlot.server.local import LocalServer

MISLEADING = ("E2B_DOMAIN", "E2B_DEBUG", "E2B_ACCESS_TOKEN", "E2B_VALIDATE_API_KEY", "E2B_HTTP_VERSION")
"""Variables that would lead them elsewhere; no test may inherit them."""


def environment_of(server: LocalServer) -> dict[str, str]:
    return {
        "E2B_API_URL": server.url,
        "E2B_SANDBOX_URL": server.url,
        "E2B_API_KEY": key_of(server),
    }


def key_of(server: LocalServer) -> str:
    """The server's first key, in the shape that older clients insist on."""
    return "e2b_" + server.key.removeprefix("sl_")
