"""JSON out. Shared by all doors."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from starlette.responses import JSONResponse

_encoder = msgspec.json.Encoder(enc_hook=str)


def to_json(value: Any) -> bytes:
    """JSON of ``value``; a type that JSON lacks becomes its text.

    Text from a guest may hold lone surrogates (a file's name that is not UTF-8, ``print(chr(0xD800))``): they
    have no UTF-8, but JSON can escape them, and Python and JavaScript read them back.
    """
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value, enc_hook=str)).encode()


class Json(JSONResponse):
    """A subclass of the framework's, which describes what routes answer with for no other class."""

    def render(self, content: Any) -> bytes:
        # With a newline, so that in a terminal the prompt does not follow the last brace.
        return to_json(content) + b"\n"
