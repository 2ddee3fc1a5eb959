"""The token of a sandbox whose ports are not public: where a request has it, and how it goes no further."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

NAME: Final = "sandlot_token"
"""In the query, once, and then as a cookie."""


class Shown:
    """What a request shows. ``scope`` is the request without it: a program inside need not learn it."""

    def __init__(self, scope: Scope, header_names: Sequence[str]) -> None:
        names = [name.encode() for name in header_names]
        self._in_header = next((value for name, value in scope["headers"] if name in names), None)
        query, self._in_query = _taken(scope["query_string"], b"&", b"&")
        headers, self._in_cookie = [], None
        for name, value in scope["headers"]:
            if name == b"cookie":
                rest, found = _taken(value, b";", b"; ")
                self._in_cookie = found if found is not None else self._in_cookie
                headers += [(name, rest)] if rest else []
            elif name not in names:
                headers.append((name, value))
        self.scope: Scope = {**scope, "headers": headers, "query_string": query}

    @property
    def token(self) -> str | None:
        found = (self._in_header, self._in_query, self._in_cookie)
        token = next((value for value in found if value is not None), None)
        return None if token is None else token.decode("latin-1")

    def keeps(self) -> Response | None:
        """For a browser that was given the token in the address: it keeps it, and asks again without."""
        if self._in_query is None or self.scope.get("method") not in ("GET", "HEAD"):
            return None
        query = self.scope["query_string"].decode("latin-1")
        # One slash at the beginning: with two it would be another host's address.
        path = "/" + self.scope["raw_path"].decode("latin-1").lstrip("/")
        answer = RedirectResponse(path + (f"?{query}" if query else ""), 307, {"cache-control": "no-store"})
        answer.set_cookie(
            NAME,
            self._in_query.decode("latin-1"),
            httponly=True,
            secure=self.scope["scheme"] == "https",
            samesite="lax",
        )
        return answer


def _taken(text: bytes, separator: bytes, joined_by: bytes) -> tuple[bytes, bytes | None]:
    """The parts of ``text`` without the token, and the token where one was there."""
    ours = NAME.encode() + b"="
    parts = [part.strip() if separator == b";" else part for part in text.split(separator)]
    found = [part.removeprefix(ours) for part in parts if part.startswith(ours)]
    if not found:
        return text, None
    return joined_by.join(part for part in parts if not part.startswith(ours)), found[0]
