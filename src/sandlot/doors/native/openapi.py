"""What FastAPI cannot know of this door: how keys are sent, and what the lines of streams look like."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from sandlot.doors.native import events
from sandlot.doors.native.described import failures

INTRODUCTION: Final = """
Sandboxes for code that nobody has read: make one, run commands and code in it, move files, open terminals.

* **Keys**: send yours as `X-API-Key: sl_…` or `Authorization: Bearer sl_…`; `sandlot keys create NAME` makes
  one.
* **Errors** look the same everywhere: `{"error": {"code", "message", "details"?}}`. The message says what was
  wrong and what would be right. After 429 and 503 wait `Retry-After` seconds.
* **Streams** are lines of JSON (`application/x-ndjson`), told apart by `type`. `keepalive` lines mean
  nothing. An `error` line with an `error` object is the end of a stream that could not go on.
* **Times** are RFC 3339 in UTC; durations are seconds; sizes say their unit.
* **Terminals** are WebSockets at `/v1/sandboxes/{sandbox_id}/terminal`, see docs/api.md.
"""

_SCHEMES: Final[dict[str, Any]] = {
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}

_OF_BODIES: Final = (408, 413)
"""How any route with a body may fail before it is the route's turn."""


def describe(schema: dict[str, Any]) -> None:
    """Complete ``schema``, the application's OpenAPI document, in place."""
    components = schema.setdefault("components", {})
    components["securitySchemes"] = _SCHEMES
    _, lines = msgspec.json.schema_components(events.ALL_LINES, ref_template="#/components/schemas/{name}")
    components.setdefault("schemas", {}).update(lines)
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            _correct(operation)
            if path.startswith("/v1"):
                operation["security"] = [{name: []} for name in _SCHEMES]
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)


def _correct(operation: dict[str, Any]) -> None:
    """FastAPI announces its own answer to a bad value, where ours is a 400, and JSON beside every stream."""
    answer = operation["responses"].get("422", {})
    if "HTTPValidationError" in str(answer.get("content")):
        del operation["responses"]["422"]
    for answer in operation["responses"].values():
        if answer.get("content", {}).get("application/json") == {"schema": {}}:
            del answer["content"]["application/json"]
    if "requestBody" in operation:
        for status in _OF_BODIES:
            operation["responses"].setdefault(str(status), _failure(status))


def _failure(status: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}
    return {"description": failures(status)[status]["description"], "content": content}
