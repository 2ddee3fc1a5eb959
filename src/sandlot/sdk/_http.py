"""How connections to a server are made, for both kinds of client."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import httpx

from ._config import Endpoint
from ._errors import from_response, unreachable
from ._wire import ANSWER_TIMEOUT, CONNECT_TIMEOUT

# A pool without a ceiling: hundreds of sandboxes may stream at once, and a full pool would be a hidden wait.
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=60.0)


def client_options(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "base_url": endpoint.url,
        "headers": {**endpoint.headers, "Accept-Encoding": "identity", "User-Agent": "sandlot-python"},
        "timeout": httpx.Timeout(ANSWER_TIMEOUT, connect=CONNECT_TIMEOUT),
        "limits": LIMITS,
        # Loading the certificate store costs tens of milliseconds; plain HTTP needs none and follows no
        # redirect.
        "verify": endpoint.is_tls,
        # A proxy from the environment is never the way to one's own machine.
        "trust_env": not endpoint.is_loopback,
    }


def timeout(answer: float | None) -> httpx.Timeout:
    """Seconds to wait for the next bytes of an answer."""
    return httpx.Timeout(answer, connect=CONNECT_TIMEOUT)


def websocket_url(endpoint: Endpoint, path: str) -> str:
    return "ws" + endpoint.url.removeprefix("http") + path


@contextmanager
def handshake_errors(endpoint: Endpoint) -> Iterator[None]:
    """What can go wrong while a WebSocket is opened, as the SDK's errors."""
    from websockets.exceptions import InvalidHandshake, InvalidStatus

    try:
        yield
    except InvalidStatus as error:
        answer = error.response
        raise from_response(
            endpoint.url, answer.status_code, bytes(answer.body or b""), dict(answer.headers.raw_items())
        ) from None
    except (OSError, InvalidHandshake) as error:
        raise unreachable(endpoint.url, error) from error


def proxy_for(endpoint: Endpoint) -> Literal[True] | None:
    return None if endpoint.is_loopback else True


def tls_for(endpoint: Endpoint) -> ssl.SSLContext | None:
    return httpx.create_ssl_context() if endpoint.is_tls else None
