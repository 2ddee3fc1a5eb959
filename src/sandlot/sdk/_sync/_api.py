# Generated from ../_async/_api.py by script/generate-sync: change that file, not this one.
"""Requests to one server: errors, retries, and streams of events."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from typing import Any

import httpx

from sandlot.sdk import _wire
from sandlot.sdk._config import Endpoint
from sandlot.sdk._errors import (
    SandboxTimeoutError,
    ServerUnavailableError,
    from_body,
    from_response,
    unreachable,
)
from sandlot.sdk._http import timeout as limits
from sandlot.sdk._sio import shared_client, sleep


class Events:
    """The events of one answer, in order, without the keepalives."""

    def __init__(self, response: httpx.Response, url: str) -> None:
        self._response = response
        self._url = url
        self._chunks = response.iter_raw()
        self._lines = _wire.LineSplitter()

    def next(self) -> dict[str, Any] | None:
        """The next event; None when the server has closed the stream.

        Raises what the server reports as an error.
        """
        while True:
            event = self._lines.pop()
            if event is None:
                try:
                    chunk = next(self._chunks, None)
                except httpx.TransportError as error:
                    raise ServerUnavailableError(f"the connection to {self._url} broke: {error}") from error
                if chunk is None:
                    return None
                self._lines.feed(chunk)
            elif event["type"] == "error" and isinstance(event.get("error"), dict):
                raise from_body(event["error"])
            elif event["type"] != "keepalive":
                return event

    def finish(self) -> None:
        """Close a stream whose last event has been read. The connection can be used again."""
        with suppress(httpx.TransportError):
            next(self._chunks, None)
        self.close()

    def close(self) -> None:
        self._response.close()


class Api:
    """One server, as one caller sees it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        json: Mapping[str, object] | None = None,
        content: bytes | Iterable[bytes] | None = None,
        timeout: float | None = _wire.ANSWER_TIMEOUT,
    ) -> httpx.Response:
        """A whole answer. Raises a SandboxError for anything that is not a success."""
        response = self.send(
            method, path, params=params, json=json, content=content, timeout=timeout, stream=False
        )
        return response

    def get(self, path: str, params: Mapping[str, object] | None = None) -> Any:
        """The JSON of a GET."""
        return (self.request("GET", path, params=params)).json()

    def events(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        json: Mapping[str, object] | None = None,
    ) -> Events:
        """The stream of events that answers a request. The caller closes it."""
        response = self.send(
            method, path, params=params, json=json, timeout=_wire.STREAM_TIMEOUT, stream=True
        )
        return Events(response, self.endpoint.url)

    def read(
        self, path: str, *, params: Mapping[str, object], timeout: float = _wire.ANSWER_TIMEOUT
    ) -> Generator[bytes]:
        """The bytes of a GET, as they come."""
        response = self.send("GET", path, params=params, timeout=timeout, stream=True)
        try:
            yield from response.iter_raw()
        except httpx.TransportError as error:
            raise ServerUnavailableError(f"the transfer from {self.endpoint.url} broke: {error}") from error
        finally:
            response.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        json: Mapping[str, object] | None = None,
        content: bytes | Iterable[bytes] | None = None,
        timeout: float | None,
        stream: bool,
    ) -> httpx.Response:
        """A successful answer, its body unread where it is a stream."""
        client = shared_client(self.endpoint)
        attempt = 0
        while True:
            request = client.build_request(
                method,
                path + _wire.query(params or {}),
                json=json,
                content=content,
                timeout=limits(timeout),
            )
            try:
                response = client.send(request, stream=stream)
                if response.is_success:
                    return response
                body = response.read()
                response.close()
            except httpx.TransportError as error:
                if not _wire.may_repeat(method, attempt, connected=_connected(error)):
                    raise _lost(self.endpoint.url, error, timeout) from error
                delay: float | None = _wire.backoff(attempt)
            else:
                delay = _wire.retry_delay(
                    method, attempt, response.status_code, response.headers.get("Retry-After")
                )
            if delay is None:
                raise from_response(self.endpoint.url, response.status_code, body, response.headers)
            sleep(delay)
            attempt += 1


def _connected(error: httpx.TransportError) -> bool:
    return not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)


def _lost(
    url: str, error: httpx.TransportError, timeout: float | None
) -> ServerUnavailableError | SandboxTimeoutError:
    if not _connected(error):
        return unreachable(url, error)
    if isinstance(error, httpx.TimeoutException):
        return SandboxTimeoutError(f"{url} did not answer within {timeout or 0:g} s")
    return ServerUnavailableError(f"the connection to {url} broke: {error or type(error).__name__}")
