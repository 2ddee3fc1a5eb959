"""Code: run it in an interpreter that keeps its variables."""

from __future__ import annotations

from fastapi import Request, Response

from sandlot.core.interpreter import CodeEvent, Context, Done, ErrorEvent, Result, Stderr, Stdout
from sandlot.doors.native import events
from sandlot.doors.native.described import IN_SANDBOX, failures, lines
from sandlot.doors.native.door import engine_of, routes
from sandlot.doors.native.models import (
    CodeBody,
    ContextAnswer,
    ContextBody,
    ContextId,
    ContextsAnswer,
    SandboxId,
)
from sandlot.doors.native.streams import event_stream

router = routes("/v1/sandboxes/{sandbox_id}", "code")


@router.post(
    "/code",
    response_model=None,
    responses=lines(
        "CodeStdout", "CodeStderr", "CodeResult", "CodeError", "Keepalive", "Done", "Failed",
        description="Lines as things happen, `keepalive` every 15 s; the last is `done`, or an API `error`.",
    )
    | failures(*IN_SANDBOX, 413),
)  # fmt: skip
async def run_code(request: Request, sandbox_id: SandboxId, body: CodeBody) -> Response:
    """Run code. Variables, imports and files stay for the next run in the same context."""
    live = await engine_of(request).live(sandbox_id)
    run = live.interpreter.run(
        body.code, context=body.context, language=body.language, env=body.env, timeout=body.timeout_s
    )
    return event_stream(request, run, _line)


@router.post("/contexts", status_code=201, responses=failures(*IN_SANDBOX))
async def create_context(request: Request, sandbox_id: SandboxId, body: ContextBody) -> ContextAnswer:
    """An interpreter of its own, beside the language's common one."""
    live = await engine_of(request).live(sandbox_id)
    cwd = live.path(body.cwd) if body.cwd else None
    context = await live.interpreter.create_context(language=body.language, cwd=cwd, env=body.env)
    return _answer(context)


@router.get("/contexts", responses=failures(*IN_SANDBOX))
async def list_contexts(request: Request, sandbox_id: SandboxId) -> ContextsAnswer:
    """The interpreters that run."""
    live = await engine_of(request).live(sandbox_id)
    return ContextsAnswer(contexts=[_answer(context) for context in await live.interpreter.contexts()])


@router.delete("/contexts/{context_id}", status_code=204, responses=failures(*IN_SANDBOX))
async def remove_context(request: Request, sandbox_id: SandboxId, context_id: ContextId) -> None:
    """End an interpreter; its variables are gone."""
    live = await engine_of(request).live(sandbox_id)
    await live.interpreter.remove_context(context_id)


@router.post("/contexts/{context_id}/restart", responses=failures(*IN_SANDBOX))
async def restart_context(request: Request, sandbox_id: SandboxId, context_id: ContextId) -> ContextAnswer:
    """Begin anew with no variables, under the same id."""
    live = await engine_of(request).live(sandbox_id)
    await live.interpreter.restart(context_id)
    contexts = await live.interpreter.contexts()
    return next(_answer(context) for context in contexts if context.id == context_id)


@router.post("/contexts/{context_id}/interrupt", status_code=204, responses=failures(*IN_SANDBOX))
async def interrupt_context(request: Request, sandbox_id: SandboxId, context_id: ContextId) -> None:
    """Interrupt what runs there; variables stay."""
    live = await engine_of(request).live(sandbox_id)
    await live.interpreter.interrupt(context_id)


def _line(event: CodeEvent) -> bytes:
    match event:
        case Stdout(text=text):
            return events.line(events.CodeStdout(text))
        case Stderr(text=text):
            return events.line(events.CodeStderr(text))
        case Result():
            return events.line(_result(event))
        case ErrorEvent(name=name, value=value, traceback=traceback):
            return events.line(events.CodeError(name, value, traceback))
        case Done(execution_count=count, duration_ms=duration_ms):
            return events.line(events.Done(count, round(duration_ms, 3)))


def _result(result: Result) -> events.CodeResult:
    return events.CodeResult(**{name: getattr(result, name) for name in events.CodeResult.__struct_fields__})


def _answer(context: Context) -> ContextAnswer:
    return ContextAnswer(id=context.id, language=context.language, cwd=context.cwd)
