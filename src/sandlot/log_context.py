"""What log lines carry besides their own words."""

from __future__ import annotations

from contextvars import Context, copy_context

from structlog.contextvars import bind_contextvars, clear_contextvars


def about(sandbox: str) -> Context:
    """For work that outlives the request in which it begins: its lines carry the sandbox, not the request."""
    context = copy_context()
    context.run(clear_contextvars)
    context.run(bind_contextvars, sandbox=sandbox)
    return context
