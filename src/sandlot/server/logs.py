"""Logs: one line an event, JSON where nobody watches and readable where somebody does. Always to stderr."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect
from structlog.typing import Processor

from sandlot.doors.streaming import ResponseAborted

_QUIET: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "alembic")
"""Libraries whose chatter is not ours; uvicorn's would even write down the query of a WebSocket's address,
in which there may be a key."""


def configure(level: str, format: str) -> None:
    """``level`` as in the settings; ``format`` of ``auto`` is text on a terminal and JSON elsewhere."""
    number = logging.getLevelNamesMapping()[level.upper()]
    readable = format == "text" or (format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer = _for_people() if readable else _for_machines()
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    handler.addFilter(_is_news)
    logging.basicConfig(handlers=[handler], level=max(number, logging.INFO), force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


# Tracebacks without local variables, in both: there are keys and people's data among them.


def _for_people() -> list[Processor]:
    return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]


def _for_machines() -> list[Processor]:
    transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(transformer), structlog.processors.JSONRenderer()]


def _is_news(record: logging.LogRecord) -> bool:
    """Clients that leave, connections cut on purpose, requests cut at a stop: no failures of the server."""
    error: Any = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, ClientDisconnect | ResponseAborted | asyncio.CancelledError)
